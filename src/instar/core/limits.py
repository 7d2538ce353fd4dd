"""Every bound in one place: the unit is in the name, the reason beside it.

A bound is refused with a named error, never grown past silently.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# --- records -----------------------------------------------------------------------------------
MESSAGE_TEXT_MAX_BYTES = 4 * MIB  # a pasted book chapter fits; a pasted disk image does not
MESSAGE_ID_MAX_BYTES = 256  # ids of every chat system seen are under 100 bytes
PERSON_ID_MAX_BYTES = 256  # an e-mail address or a 64-bit id with a prefix
CHANNEL_ID_MAX_BYTES = 512  # SillyTavern names a channel by its file name
ATTACHMENTS_PER_MESSAGE_MAX = 256  # Discord allows 10; mail archives more
ATTACHMENT_MAX_BYTES = 4 * KIB  # a file name or an address, not the file
AUTHOR_NAME_MAX_BYTES = KIB  # a display name; Discord allows 32 characters
MEMORY_TEXT_MAX_BYTES = 64 * KIB  # a remembered statement; longer text stays in its message
EMOTION_SAMPLES_KEPT = 50  # enough for a trend over weeks of daily talk
FACTS_PER_PROFILE_MAX = 500  # beyond this a profile is a document, not a profile

# --- conversations -----------------------------------------------------------------------------
WINDOW_DEFAULT_MESSAGES = 20  # what a turn sees of its channel
PAGE_MAX_MESSAGES = 1_000  # one page of a listing; bounds the answer of the owner's socket

# --- recall ------------------------------------------------------------------------------------
CANDIDATES_PER_LEG = 100  # each search leg hands this many to the fusion
FUSION_K = 60  # Cormack, Clarke, Buettcher 2009: the constant of reciprocal rank fusion
RECALLED_MAX = 12  # memories a turn may put into a prompt
PROMPT_CONTEXT_MAX_CHARS = 24_000  # about 6,000 tokens: fits the smallest context in use today

# --- embedded engine ---------------------------------------------------------------------------
FRAME_MAX_BYTES = 16 * MIB  # one transaction; larger values go to blobs
KEY_MAX_BYTES = KIB  # keys are ids; 1 KiB leaves room for channel + message id
WAL_SEGMENT_BYTES = 16 * MIB  # zeroed ahead, so that a commit allocates nothing
WAL_UNSEALED_MAX_BYTES = 64 * MIB  # bounds recovery to about half a second
SEAL_IDLE_S = 60.0  # a quiet store becomes readable by other tools within a minute
GROUP_MAX_BYTES = 8 * MIB  # one write + one sync; keeps a burst's first waiter from starving
BUFFERED_LOSS_WINDOW_S = 0.05  # what `buffered` may lose at power loss
BUFFERED_LOSS_WINDOW_RECORDS = 100  # whichever comes first
BALLAST_BYTES = 8 * MIB  # freed on a full disk, so that erasure and tombstones stay possible
MANIFESTS_KEPT = 16  # a reader that pinned one of these goes on reading
BUCKETS = 16  # erasing one person rewrites one sixteenth of a store
DIGEST_BUCKETS = 4_096  # a difference between two homes is narrowed to 1/4,096 of the keys

# --- owner's socket ----------------------------------------------------------------------------
SOCKET_FRAME_MAX_BYTES = 32 * MIB  # a batch of records beside its envelope
OWNER_WAIT_S = 10.0  # how long a second process tries to own or reach a home

# --- import ------------------------------------------------------------------------------------
IMPORT_LINE_MAX_BYTES = 16 * MIB  # one line of a JSONL file; a longer one is skipped and listed
IMPORT_DOCUMENT_MAX_BYTES = 512 * MIB  # one JSON document read whole (ChatGPT, Discord, Letta)
IMPORT_BATCH_MESSAGES = 256  # one transaction; what a kill during an import can repeat
SKIPPED_LISTED_MAX = 10_000  # reasons kept in a report; the count goes on

# --- models ------------------------------------------------------------------------------------
MODEL_CONNECT_TIMEOUT_S = 10.0  # a model on the same continent answers a SYN far sooner
MODEL_READ_TIMEOUT_S = 60.0  # between two events of a stream
MODEL_RETRIES_MAX = 3  # for 429 and 5xx, before the first token only
MODEL_RETRY_AFTER_MAX_S = 30.0  # a longer Retry-After is reported instead of waited for
MODEL_REPLY_MAX_BYTES = 4 * MIB  # a runaway stream is stopped

# --- web ---------------------------------------------------------------------------------------
WEB_BODY_MAX_BYTES = 8 * MIB  # the largest message plus its envelope
