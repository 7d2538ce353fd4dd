"""The embedders keep the port's promises."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from instar.core.errors import EmbedderMismatch, ExtraMissing, SettingInvalid
from instar.embeddings import minilm
from instar.embeddings.bert_graph import encoder_model
from instar.embeddings.choose import choose_embedder
from instar.embeddings.contract import EmbedderContract, cosine
from instar.embeddings.hashing import HashingEmbedder
from instar.embeddings.minilm import DIGESTS, MiniLmEmbedder
from instar.embeddings.port import Embedder
from instar.testing.memory_liars import EMBEDDER_LIARS

PUBLISHED = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")


class TestHashing(EmbedderContract):
    made_by = "choose_embedder('hashing')"

    @pytest.fixture
    def embedder(self) -> Embedder:
        return HashingEmbedder()

    async def test_a_spelling_is_near_its_other_forms_and_meaning_is_not_seen(self, embedder: Embedder) -> None:
        birthday, birthdays, cake = await embedder.embed(["birthday", "birthdays", "cake"])
        assert cosine(birthday, birthdays) > 0.8
        assert abs(cosine(birthday, cake)) < 0.3

    async def test_function_words_have_no_weight(self, embedder: Embedder) -> None:
        plain, wrapped = await embedder.embed(["chess", "What is it about the chess?"])
        assert plain == wrapped

    async def test_its_name_says_that_it_is_the_last_resort(self, embedder: Embedder) -> None:
        assert "last resort" in embedder.name

    async def test_golden_vector_of_one_word(self, embedder: Embedder) -> None:
        """Changing this line means changing the fingerprint: stored vectors would no longer be comparable."""
        (vector,) = await embedder.embed(["golden"])
        assert embedder.fingerprint == "hashing-1/analysis-1/384/f32/signed/l2"
        assert vector.hex().strip("0")[:48] == GOLDEN


GOLDEN = "2ef9643f000000000000000000000000907becbd00000000"


@pytest.fixture(scope="module")
def loaded_minilm() -> MiniLmEmbedder:
    return MiniLmEmbedder()


@pytest.mark.embed
class TestMiniLm(EmbedderContract):
    made_by = "choose_embedder('minilm')"

    @pytest.fixture
    def embedder(self, loaded_minilm: MiniLmEmbedder) -> Embedder:
        return loaded_minilm

    async def test_the_published_example_of_the_model_gives_the_published_figures(self, embedder: Embedder) -> None:
        lovely, sunny, drove = await embedder.embed(PUBLISHED)
        assert round(cosine(lovely, sunny), 4) == 0.6660
        assert round(cosine(lovely, drove), 4) == 0.1046
        assert round(cosine(sunny, drove), 4) == 0.1411

    async def test_a_paraphrase_without_a_common_word_is_near(self, embedder: Embedder) -> None:
        question, fact, other = await embedder.embed(["When was I born?", "My birthday is 3 March.", "I like tea."])
        assert cosine(question, fact) > 0.45 > cosine(question, other) + 0.2

    async def test_text_beyond_the_bound_does_not_count(self, embedder: Embedder) -> None:
        first, second = await embedder.embed(["tea " * 300 + "volcano", "tea " * 300 + "chess"])
        assert first == second

    async def test_weights_that_are_not_the_pinned_ones_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = minilm._folder()
        assert folder is not None
        for name in DIGESTS:
            shutil.copy(folder / name, tmp_path / name)
        with (tmp_path / "model.safetensors").open("r+b") as weights:
            weights.seek(-1, 2)
            weights.write(b"\x7f")
        monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
        with pytest.raises(EmbedderMismatch, match="digest"):
            await MiniLmEmbedder().embed(["anything"])

    def test_the_graph_passes_the_checker_of_onnx(self, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        folder = minilm._folder()
        assert folder is not None
        weights = Path(shutil.copy(folder / "model.safetensors", tmp_path))
        model = tmp_path / "encoder.onnx"
        model.write_bytes(encoder_model(weights, layers=6, heads=12, hidden=384))
        onnx.checker.check_model(str(model), full_check=True)
        assert len(onnx.load(str(model), load_external_data=False).graph.initializer) > 100

    def test_auto_takes_it(self) -> None:
        assert isinstance(choose_embedder("auto"), MiniLmEmbedder)


@pytest.fixture
def without_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(minilm, "distribution", nothing)


@pytest.mark.usefixtures("without_the_model")
def test_auto_takes_hashing_where_the_model_is_not_installed() -> None:
    assert isinstance(choose_embedder("auto"), HashingEmbedder)


@pytest.mark.usefixtures("without_the_model")
def test_minilm_where_it_is_not_installed_names_what_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(ExtraMissing) as refused:
        choose_embedder("minilm")
    assert minilm.DISTRIBUTION in refused.value.why
    assert refused.value.next.startswith("pip install")


def test_another_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingInvalid, match="auto, minilm, hashing"):
        choose_embedder("word2vec")


def test_choosing_loads_no_model_and_no_array_library() -> None:
    script = (
        "import sys\nfrom instar.embeddings.choose import choose_embedder\nchoose_embedder('auto')\n"
        "print(sorted({'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(EMBEDDER_LIARS))
async def test_the_contract_catches_the_liar(name: str) -> None:
    liar, clause = EMBEDDER_LIARS[name]
    contract = TestHashing()
    contract.made_by = f"__import__('instar.testing.memory_liars').testing.memory_liars.{liar.__name__}()"
    with pytest.raises((AssertionError, ValueError)):
        await getattr(contract, clause)(liar())
