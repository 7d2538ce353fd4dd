"""English."""

from __future__ import annotations

import re

from instar.agent.languages.table import FactRule, Language
from instar.models.wording import word_set


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_I_AM = r"\bi(?:'m| am)(?: \w+ly| now| also| still)?"
_ADVERB = r"(?:(?:really|truly|absolutely|simply|just|also|still|do|always|quite|especially|totally|now|currently|only|so|actually|already|both) )*"
_DATE = (
    r"(?P<value>(?:the )?\d{1,2}(?:st|nd|rd|th)?(?: of)? [A-Z]\w{2,8}\.?,?(?: \d{4})?"
    r"|(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?(?: the)? \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?"
    r"|\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}(?:[./]\d{2,4})?)"
)
_KIN_ONE = r"wife|husband|partner|spouse|girlfriend|boyfriend|fianc[ée]e?|mother|mum|mom|father|dad|boss|manager|landlord|landlady|therapist|doctor|dentist|best friend"
_KIN_MANY = r"sister|brother|son|daughter|child|baby|kid|twin|aunt|uncle|cousin|niece|nephew|grandmother|grandma|grandfather|grandpa|granddaughter|grandson|friend|neighbou?r|colleague|roommate|flatmate|teacher"
_PETS = r"dog|cat|puppy|kitten|rabbit|parrot|hamster|horse|pony|tortoise|turtle|goldfish|pet|guinea pig|snake|bird|canary|budgie|ferret"
_SIZED = r"(?:older |younger |little |big |elder |eldest |youngest |oldest |new |old |first |second |late )?"
_THINGS = (
    r"blood type|phone number|mobile number|e-?mail(?: address)?|address|post ?code|zip code|shoe size|shirt size|ring size|"
    r"car|bike|bicycle|motorbike|boat|school|university|college|employer|company|team|band|home ?town|nationality|religion|"
    r"star sign|zodiac sign|height|weight|native language|mother tongue|pronouns|time ?zone|user ?name|handle|"
    r"flat number|apartment number|room number|locker number|locker code|door code|seat number|account number|"
    r"licen[sc]e plate|number plate|hobby|instrument|dream|goal|anniversary|wedding anniversary|wedding date|"
    r"degree|major|middle name|last name|surname|family name|maiden name|nickname|first name|lucky number|"
    r"ring tone|bank|gym|dream job|hair colou?r|eye colou?r|job|profession|occupation|role|job title|diet|"
    r"dietary preference|name day|website|passport number|membership number|library card number|bus line|train"
)
_NAME = r"(?P<value>[^\W\d_][\w'’.-]*(?-i:(?: (?:[^\W\d_a-z][\w'’.-]*|van|von|de|der|den|da|di|la|le|al|bin|ibn))*))"
_PROPER = r"(?-i:(?P<value>[^\W\d_a-z][\w'’.-]*(?: (?:[^\W\d_a-z][\w'’.-]*|van|von|de|der|den|da|di|la|le))*))"
_OCCUPATION = (
    r"(?:[\w-]+ ){0,3}?(?:\w+(?:ologist|grapher|iatrist|therapist|smith|wright|keeper|fighter|maker|trician|matician)|"
    r"nurse|teacher|doctor|engineer|developer|programmer|designer|gardener|baker|carpenter|plumber|electrician|"
    r"lawyer|solicitor|barrister|judge|accountant|architect|artist|musician|pianist|violinist|cellist|singer|dancer|"
    r"actor|actress|writer|author|poet|editor|journalist|translator|librarian|historian|scientist|physicist|chemist|"
    r"pharmacist|dentist|surgeon|vet|veterinarian|midwife|paramedic|pilot|driver|mechanic|chef|cook|waiter|waitress|"
    r"barista|bartender|farmer|fisherman|fisher|florist|butcher|tailor|hairdresser|barber|cleaner|caretaker|"
    r"consultant|manager|analyst|administrator|secretary|receptionist|clerk|cashier|salesman|saleswoman|student|"
    r"professor|lecturer|researcher|tutor|coach|trainer|soldier|officer|policeman|policewoman|detective|"
    r"social worker|builder|painter|sculptor|illustrator|director|producer|potter|weaver|sailor|captain|"
    r"economist|banker|broker|estate agent|tester|technician|operator|statistician|mathematician|linguist|therapist)"
)

_RULES = (
    FactRule(attribute="name", pattern=_pattern(rf"\bmy (?:full |real |first )?name(?:'s| is)(?: now)? {_NAME}"), text="My name is {value}"),
    FactRule(attribute="name", pattern=_pattern(rf"^(?:(?:please|just|you can|you may|so|well|ok|but|and|everyone|everybody|friends|people|they all)[, ]+)*(?:will |can )?call(?:s)? me {_NAME}"), text="My name is {value}"),
    FactRule(attribute="name", pattern=_pattern(rf"(?:{_I_AM}|\bi go by) (?:called|named|known as) {_NAME}|\bi go by {_NAME.replace('value', 'value_2')}"), text="My name is {value}"),
    FactRule(attribute="name", pattern=_pattern(rf"^(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon))(?: there| all| everyone)?[,.! ]+(?:i'm|i am|this is|it's|my name's) {_PROPER}"), text="My name is {value}"),
    FactRule(attribute="{noun}'s birthday", pattern=_pattern(rf"\bmy (?P<noun>{_SIZED}(?:{_KIN_ONE}|{_KIN_MANY}|{_PETS}))(?:'s|’s) birthday(?:'s| is| falls)(?: on)? {_DATE}"), text="My {noun}'s birthday is {value}"),
    FactRule(attribute="birthday", pattern=_pattern(rf"\bmy birthday(?:'s| is| falls)?(?: actually| really| always)?(?: on)? {_DATE}"), text="My birthday is {value}"),
    FactRule(attribute="birthday", pattern=_pattern(rf"\b(?:i was|i am|i'm) born on {_DATE}"), text="My birthday is {value}"),
    FactRule(attribute="birthday", pattern=_pattern(rf"\bi (?:celebrate|have) my birthday on {_DATE}|\b{_DATE.replace('value', 'value_2')} is my birthday\b"), text="My birthday is {value}"),
    FactRule(attribute="birthday", pattern=_pattern(rf"\btoday is my birthday,?:? (?:the )?{_DATE}|\btoday,? {_DATE.replace('value', 'value_2')},? is my birthday"), text="My birthday is {value}"),
    FactRule(attribute="birth year", pattern=_pattern(r"\bi was born in (?:the year )?(?P<value>(?:19|20)\d\d)\b"), text="I was born in {value}"),
    FactRule(attribute="birthplace", pattern=_pattern(rf"\bi was born (?:and raised )?in {_PROPER}"), text="I was born in {value}"),
    FactRule(attribute="age", pattern=_pattern(r"\bi(?:'m| am| turned| just turned|'ve turned| have turned) (?:now |already |just )?(?P<value>\d{1,3})(?= years?(?: old)?\b| now\b| today\b| yesterday\b|[.!,]|$)"), text="I am {value} years old"),
    FactRule(attribute="lives in", pattern=_pattern(rf"\b(?:i|we) {_ADVERB}(?:live|reside) (?:in|at|near|on) (?P<value>.+)|\b(?:i|we)(?:'m|'re| am| are) {_ADVERB}living (?:in|at|near|on) (?P<value_2>.+)"), text="I live in {value}"),
    FactRule(attribute="lives in", pattern=_pattern(r"\b(?:i|we)(?:'ve| have)?(?: just| recently| now| finally| only just)* (?:moved|relocated)(?: back| over| house)?(?: from [\w ]+?)? to (?P<value>.+)"), text="I live in {value}"),
    FactRule(attribute="from", pattern=_pattern(r"\bi(?:'m| am| come|'m originally| am originally| originally come)(?: originally)? from (?P<value>.+)"), text="I am from {value}"),
    FactRule(attribute="from", pattern=_pattern(r"\bi grew up (?:in|on|near) (?P<value>.+)"), text="I grew up in {value}"),
    FactRule(attribute="employer", pattern=_pattern(r"\bi(?:'m| am)? (?:now |currently |also )*work(?:ing)? (?:for|at) (?P<value>.+)"), text="I work at {value}"),
    FactRule(attribute="job", pattern=_pattern(r"\bi(?:'m| am)? (?:now |currently |also )*work(?:ing)? as (?:an? |the )?(?P<value>.+)"), text="I work as {value}"),
    FactRule(attribute="job", pattern=_pattern(r"\bi (?:got|started|took|have)(?: a| my)?(?: new)? job as (?:an? |the )?(?P<value>.+)"), text="I work as {value}"),
    FactRule(attribute="job", pattern=_pattern(rf"(?:{_I_AM}|\bi became) (?:an? |the )(?P<value>{_OCCUPATION})\b(?!'| of\b)(?: by (?:trade|profession))?"), text="I work as {value}"),
    FactRule(attribute="job", pattern=_pattern(r"\bmy (?:new |current |day )?(?:job|profession|occupation) is (?:being )?(?:an? |the )?(?P<value>.+)"), text="I work as {value}"),
    FactRule(attribute="allergy", pattern=_pattern(rf"(?:{_I_AM}|\bi(?:'ve| have) been)(?: \w+)? allergic to (?P<value>.+)"), text="I am allergic to {value}", singular=False),
    FactRule(attribute="allergy", pattern=_pattern(r"\bi have (?:an? )?(?:\w+ )?allergy to (?P<value>.+)|\bi have an? (?P<value_2>[\w ]+?) allergy\b"), text="I am allergic to {value}", singular=False),
    FactRule(attribute="diet", pattern=_pattern(rf"(?:{_I_AM}|\bi(?:'ve| have) (?:gone|become|been))(?: an?)? (?P<value>vegan|vegetarian|pescatarian|lactose intolerant|gluten[- ]free|coeliac|celiac|diabetic|teetotal)\b"), text="I am {value}"),
    FactRule(attribute="favourite {noun}", pattern=_pattern(r"\bmy (?:all[- ]time |absolute |very )?favou?rite (?P<noun>[\w' -]{2,40}?)(?:'s| is| has (?:always )?been| are| must be)(?: definitely| probably| still| now| always| and always will be)* (?P<value>.+)"), text="My favourite {noun} is {value}"),
    FactRule(attribute="favourite {noun}", pattern=_pattern(r"^(?P<value>[\w' -]{2,60}?)(?:'s| is| are)(?: definitely| probably| still| now)* my (?:all[- ]time |absolute )?favou?rite (?P<noun>[\w' -]{2,40})"), text="My favourite {noun} is {value}"),
    FactRule(attribute="dislikes", pattern=_pattern(rf"\bi {_ADVERB}(?:hate|dislike|detest|loathe|can't stand|cannot stand|can't bear|cannot bear|don't (?:really |much )?(?:like|enjoy)|do not (?:really )?(?:like|enjoy)|never liked) (?P<value>.+)"), text="I do not like {value}", singular=False),
    FactRule(attribute="prefers", pattern=_pattern(rf"\bi {_ADVERB}prefer (?P<value>.+)"), text="I prefer {value}", singular=False),
    FactRule(attribute="likes", pattern=_pattern(rf"\bi(?:'ve| have)? {_ADVERB}(?:like|love|enjoy|adore|loved|enjoyed)(?: to)? (?P<value>.+)"), text="I like {value}", singular=False),
    FactRule(attribute="likes", pattern=_pattern(rf"{_I_AM} (?:a (?:big|huge|great) fan of|fond of|crazy about|keen on|(?:really )?into) (?P<value>.+)"), text="I like {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:my|our) {_SIZED}(?P<noun>{_KIN_ONE})(?:(?:'s|’s)? name)?(?:'s| is|’s)(?: called| named)? {_PROPER}(?=$|[.!,;)]| and\b| who\b| but\b)"), text="My {noun} is called {value}"),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:my|our) (?P<noun>{_SIZED}(?:{_KIN_MANY}|{_PETS}))(?:(?:'s|’s)? name)?(?:'s| is| was|’s)(?: called| named)? {_PROPER}(?=$|[.!,;)]| and\b| who\b| but\b)"), text="My {noun} is called {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:my|our) (?P<noun>{_SIZED}(?:{_KIN_ONE}|{_KIN_MANY}|{_PETS}))(?:'s| is| was|,)? (?:called|named) {_NAME}"), text="My {noun} is called {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:i|we)(?:'ve| have)?(?: got| adopted| bought| just got| also have)? an? (?:[\w-]+ ){{0,3}}?(?P<noun>{_KIN_MANY}|{_PETS}),?(?: who is| whose name is| that is)? (?:called|named|whose name is) {_NAME}"), text="My {noun} is called {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:my|our) (?P<noun>{_SIZED}(?:{_KIN_ONE}|{_KIN_MANY}|{_PETS})),? {_PROPER}(?=,| (?:is|was|has|had|lives?|loves?|likes?|works?|came|comes|and|says|said|just|got|bought|made|gave|needs|wants)\b)"), text="My {noun} is called {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"^{_PROPER} is (?:my|our) (?P<noun>{_KIN_ONE})(?=$|[.!,;)]| and\b| who\b)"), text="My {noun} is called {value}"),
    FactRule(attribute="{noun}", pattern=_pattern(rf"^{_PROPER} is (?:my|our) (?P<noun>{_SIZED}(?:{_KIN_MANY}|{_PETS}))(?=$|[.!,;)]| and\b| who\b)"), text="My {noun} is called {value}", singular=False),
    FactRule(attribute="married to", pattern=_pattern(rf"(?:{_I_AM}|\bi got|\bi'm getting) (?:happily )?(?:married|engaged) to {_PROPER}"), text="I am married to {value}"),
    FactRule(attribute="speaks", pattern=_pattern(rf"\bi {_ADVERB}(?:can )?speak (?:fluent |some |a little |a bit of )?(?-i:(?P<value>[A-Z]\w+(?:(?:, | and |, and )[A-Z]\w+)*))"), text="I speak {value}", singular=False),
    FactRule(attribute="plays", pattern=_pattern(rf"\bi {_ADVERB}(?:can )?play (?P<value>(?:the )?(?:piano|violin|viola|cello|guitar|bass|drums|flute|clarinet|oboe|trumpet|trombone|saxophone|harp|organ|accordion|ukulele|banjo|mandolin|recorder|chess|tennis|football|soccer|basketball|volleyball|hockey|rugby|cricket|golf|badminton|bridge|poker|handball|squash)\b)"), text="I play {value}", singular=False),
    FactRule(attribute="studies", pattern=_pattern(rf"\bi(?:'m| am)? {_ADVERB}(?:study|studying|studied) (?P<value>(?!for\b|hard\b|all\b|until\b|in\b|at\b).+)"), text="I study {value}"),
    FactRule(attribute="drives", pattern=_pattern(rf"\bi {_ADVERB}(?:drive|own) (?P<value>an? .+)"), text="I drive {value}"),
    FactRule(attribute="has", pattern=_pattern(r"\b(?:i|we) (?:have|'ve got|have got) (?P<value>(?:one|two|three|four|five|six|seven|\d) (?:[\w-]+ )?(?:children|kids|sons?|daughters?|siblings|brothers?|sisters?|dogs?|cats?|grandchildren|pets|horses|chickens|rabbits)\b)"), text="I have {value}", singular=False),
    FactRule(attribute="{noun}", pattern=_pattern(rf"\b(?:my|our) (?:new |current )?(?P<noun>{_THINGS})(?:'s| is| are)(?: still| now| on)? (?P<value>.+)"), text="My {noun} is {value}"),
)  # fmt: skip

_FEELINGS = {
    "happy": {
        "happy": 0.8, "glad": 0.6, "joy": 0.8, "joyful": 0.9, "cheerful": 0.7, "delighted": 0.9, "pleased": 0.6,
        "wonderful": 0.7, "lovely": 0.5, "great": 0.4, "content": 0.5, "smiling": 0.6, "smile": 0.5, "fun": 0.5,
        "good mood": 0.7, "love it": 0.6, "proud": 0.7, "relieved": 0.6, "laughing": 0.6, "laughed": 0.5,
        "yay": 0.7, "😊": 0.7, "😀": 0.7, "😄": 0.8, "🙂": 0.4, ":)": 0.5, ":-)": 0.5, "❤️": 0.6,
    },
    "excited": {
        "excited": 0.9, "thrilled": 1.0, "can't wait": 0.8, "cannot wait": 0.8, "amazing": 0.6, "awesome": 0.6,
        "looking forward": 0.6, "ecstatic": 1.0, "pumped": 0.8, "stoked": 0.9, "wow": 0.6, "incredible": 0.6,
        "fantastic": 0.6, "🎉": 0.7, "🤩": 0.9,
    },
    "frustrated": {
        "frustrated": 0.9, "frustrating": 0.8, "annoyed": 0.7, "annoying": 0.7, "fed up": 0.8, "stuck": 0.5,
        "irritated": 0.7, "irritating": 0.7, "sick of": 0.7, "doesn't work": 0.5, "not working": 0.5, "ugh": 0.6,
        "gave up": 0.5, "for the third time": 0.5, "keeps failing": 0.7, "keeps crashing": 0.7, "argh": 0.7, "😤": 0.8,
    },
    "angry": {
        "angry": 0.9, "furious": 1.0, "mad at": 0.8, "so mad": 0.8, "rage": 0.9, "outraged": 1.0, "livid": 1.0,
        "pissed off": 0.9, "infuriating": 0.9, "hate this": 0.8, "hate you": 0.9, "unacceptable": 0.6, "😠": 0.8,
        "😡": 0.9,
    },
    "sad": {
        "sad": 0.8, "unhappy": 0.7, "depressed": 0.9, "crying": 0.8, "cried": 0.8, "tears": 0.6, "lonely": 0.8,
        "heartbroken": 1.0, "miserable": 0.9, "grief": 0.9, "grieving": 0.9, "miss him": 0.6, "miss her": 0.6,
        "miss them": 0.6, "passed away": 0.8, "died": 0.6, "feeling down": 0.8, "hopeless": 0.9, "funeral": 0.6,
        "😢": 0.8, "😭": 0.9, ":(": 0.6, ":-(": 0.6,
    },
    "disappointed": {
        "disappointed": 0.9, "disappointing": 0.8, "let down": 0.8, "letdown": 0.8, "expected more": 0.7,
        "expected better": 0.7, "what a pity": 0.6, "what a shame": 0.6, "unfortunately": 0.4, "😞": 0.8,
    },
    "curious": {
        "curious": 0.8, "wonder": 0.6, "wondering": 0.7, "interested in": 0.5, "intrigued": 0.8, "fascinating": 0.7,
        "fascinated": 0.8, "interesting": 0.5, "i'd like to know": 0.6, "tell me more": 0.6, "how does": 0.4,
        "why does": 0.4, "🤔": 0.6,
    },
    "worried": {
        "worried": 0.9, "worry": 0.7, "worrying": 0.7, "anxious": 0.9, "nervous": 0.8, "afraid": 0.8, "scared": 0.9,
        "stressed": 0.8, "concerned": 0.6, "panic": 0.9, "panicking": 1.0, "uneasy": 0.7, "dread": 0.8,
        "dreading": 0.8, "overwhelmed": 0.7, "terrified": 1.0, "😟": 0.8, "😰": 0.9,
    },
    "grateful": {
        "grateful": 1.0, "thankful": 0.9, "thank you": 0.7, "thanks": 0.6, "appreciate": 0.8, "appreciated": 0.7,
        "means a lot": 0.8, "you helped": 0.6, "🙏": 0.7,
    },
}  # fmt: skip

ENGLISH = Language(
    rules=_RULES,
    question=_pattern(
        r"[?？؟][\"'”’)\]]*\s*$|^(?:(?:so|and|but|ok|okay|well|hey|hi|hello|please|then|also|now)[, ]+)*"
        r"(?:who|whom|whose|what|which|where|when|why|how|do|does|did|is|are|am|was|were|can|could|will|would|shall|should|"
        r"have|has|had|may|might|what's|who's|where's|when's|how's|isn't|aren't|don't you|doesn't|didn't|haven't|hasn't|"
        r"won't|wouldn't|couldn't|can't you)(?:'[a-z]+)? (?!to\b)"
        r"|^(?:please )?(?:tell me|remind me|do you remember|recall|can you tell)\b(?!.*\bto\b)"
    ),
    unreal=_pattern(
        r"^(?:and |but |so |well,? )?(?:if|suppose|supposing|imagine|pretend|assume|assuming|let's say|say i|unless|what if|as if)\b"
        r"|,? if i (?:was|were|had|am|lived|could)\b|\b(?:wish|would have|could have|might have) (?:i|that|my|been)\b|\bi wish\b"
        r"|\b(?:he|she|they|it|someone|somebody|everyone|people|you|we|who|mum|mom|dad|[A-Z]\w+) "
        r"(?:said|says|told|tells|claims?|claimed|thinks?|thought|wrote|writes|asked|asks|insists?|insisted|announced|believes?|believed|replied|shouted|whispered|joked)\b"
        r"|\bmy (?:\w+ )?\w+ (?:said|says|told|tells|claims?|claimed|thinks?|thought|wrote|writes|insists?|joked)\b"
        r"|\b(?:quote|the line|the lyric|the character|in the (?:book|film|movie|song|play|story|game))\b"
        r"|\bpeople (?:think|say|assume)\b|\bi (?:used to|dreamt|dreamed|pretend|could|might|may|would)\b|\bi'd\b|\bmaybe\b|\bperhaps\b"
    ),
    clause=re.compile(
        r"\s*(?:;|—|–| - |,? (?:but|however|although|though|whereas)(?=[ ,])|(?<!hi)(?<!hello)(?<!hey)(?<!hiya)(?<!evening)(?<!morning),(?: and)? (?=(?:my|i|i'm|i've|we|our)\b)"
        r"|,? and (?=(?:my|i|i'm|i've|we|our|(?:please )?call me)\b)|,? so (?=(?:please )?call me\b)|:\s(?=i\b|my\b))\s*",
        re.IGNORECASE,
    ),
    value_end=_pattern(
        r"\s*(?:,? (?:because|since|which|when|where|who|while|as you|as i|by the way|in case|so that|so|though|although|if|until|unless|"
        r"for (?:the last|the past|almost|over|about|years|months|now|\w+ years|\w+ months)|since \w+|these days|nowadays|at the moment|right now|now|too|as well|"
        r"actually|anyway|please|you know|lol|haha|today|yesterday|last (?:week|month|year|summer|winter|spring|autumn)|a (?:week|month|year|while) ago|instead|with my|not)\b"
        r"|[!?;()\n]|(?<!\bdr|\bmr|\bms|\bst)(?<!\bmrs)(?<!\bprof)\.(?:\s|$)|, (?!(?:and |or )?[\w' -]+(?:,|$| and | or ))|\s[:;]-?[)(DP])"
    ),
    value_refused=_pattern(
        r"^(?:dr|mr|mrs|ms|prof|st)\.?$|^(?:it|that|this|them|him|her|you|these|those|one|what|how|when|where|who|why|to|so|not|the same|mine|yours|all|"
        r"everything|nothing|something|anything|fine|ok|okay|good|bad|great|here|there|home|unknown|a secret|important|"
        r"none|n/a|the idea|the way|the fact|your \w+|that \w+|this \w+|the other|a lot|going to|over|complicated|"
        r"coming up|stolen|lost|back|ready|done|late|closed|open|full|empty|called|doing|getting|making|soon|hard|easy|difficult|too|very|really|just|still|being|in|on|at|killing|broken|gone|dead|ill|sick)\b(?! [A-Z0-9])"
    ),
    note=_pattern(
        r"^(?:please |also |and |ok,? |so )*(?:remember|note|make a note|keep in mind|bear in mind|don't forget|do not forget|never forget|"
        r"take note)(?: please)?(?:,|:| that| this:| the fact that| down that)? (?P<value>(?!(?:that|this|it|me)[.! ]*$)(?!when\b|how\b|what\b|who\b|where\b|why\b|if\b|me\b|the time\b|us\b).{3,})"
    ),
    correction=_pattern(
        r"^(?:(?:no|nope|sorry|wait|oops|correction|wrong|that's wrong|that is wrong|not quite|err|um|actually|i mean)[,.:!;]+ |actually )+"
        r"(?:(?:it|that|this|he|she)(?:'s| is| was) |i meant |i mean |make (?:it|that) |it should be |(?=[^,]*\d))"
        r"(?:actually |really )?(?P<value>[^,]+?)(?:,? not .+)?$"
    ),
    instead_of=_pattern(r",? (?:and )?not (?:at |in |on |to |an? |the )?(?P<value>[^,.!?;]+)"),
    forget=_pattern(
        r"^(?:please |can you |could you |would you |now |ok,? |i want you to |you can |you should )*"
        r"(?:forget|delete|erase|remove from your memory|stop remembering|unlearn)(?: about)? "
        r"(?:(?P<last>that|it|this|what i (?:just )?(?:said|told you))(?: please| again| now)?[.! ?]*$"
        r"|(?:what i (?:said|told you) about |that |everything about |the fact that )?(?P<value>(?:my|i|the|our)\b.+?)(?: please)?[.!? ]*$)"
    ),
    own=_pattern(r"\b(?:my|i|i'm|i've|i'd|me|mine|myself)\b"),
    speaker=_pattern(
        r"\bwhat (?:did|does|has|had|was|do)(?: it)? (?P<speaker>(?!i\b|you\b|we\b|it\b|my\b|they\b)[\w .'’-]{2,60}?) "
        r"(?:ever )?(?:say|says|said|tell|told|think|thinks|write|wrote|written|mention|mentioned|ask|asked|answer|suggest|recommend|explain|reply|saying|feel)\b"
        r"(?: (?:me|us|you|everyone|anything))?(?: (?:about|of|on|regarding|to|concerning|when asked about))?(?P<topic>.*)"
    ),
    asked={
        "name": _pattern(r"\b(?:who am i|what am i called|what do you call me|my (?:first |full )?name)\b"),
        "birthday": _pattern(
            r"\b(?:when (?:was|am) i born|my birthday|my date of birth|my birth ?date|celebrate my birthday)\b"
        ),
        "birth year": _pattern(r"\b(?:when|what year) was i born\b|\bmy birth year\b"),
        "birthplace": _pattern(r"\b(?:where was i born|my birthplace|(?:city|town|country) was i born)\b"),
        "age": _pattern(r"\b(?:how old am i|my age)\b"),
        "lives in": _pattern(
            r"\bwhere (?:do|am|is) (?:i|my) (?:currently |now )?(?:live|living|reside|home|house|flat)\b|"
            r"\b(?:which|what) (?:city|town|country|place|village|street) (?:do|am) i liv(?:e|ing)\b|\bwhere(?:'s| is) my (?:home|house)\b|"
            r"\bmy (?:home city|home address|place of residence)\b|\bwhere (?:did|have) i (?:move|moved)\b"
        ),
        "from": _pattern(
            r"\bwhere (?:do|am) i (?:come |originally )*from\b|\bwhere did i grow up\b|\bmy (?:origin|hometown|home town)\b"
        ),
        "job": _pattern(
            r"\bwhat (?:do|is it) i do(?: for (?:a living|work)| professionally| at work)?\s*\??$|\bmy (?:job|profession|occupation|work|trade|line of work|career)\b"
            r"|\bwhat (?:do|am) i (?:work|working) (?:as|in)\b|\bhow do i (?:earn|make) (?:a|my) living\b|\bwhat kind of work\b"
        ),
        "employer": _pattern(
            r"\b(?:where|who(?:m)?) do i work\b|\bmy (?:employer|company|workplace)\b|\bwho employs me\b"
        ),
        "likes": _pattern(
            r"\bwhat (?:things |food |kinds? of things |else )?do i (?:really )?(?:like|love|enjoy)\b(?: (?:doing|to do|most))?\s*\??$|\bwhat am i (?:into|fond of)\b|\bmy likes\b"
        ),
        "dislikes": _pattern(
            r"\bwhat (?:\w+ )?(?:do i (?:hate|dislike|not like|detest)|don't i like|can't i (?:stand|bear)|can i(?: not|'t) (?:stand|bear))\b(?: (?:most|to do))?\s*\??$|\bmy dislikes\b"
        ),
        "prefers": _pattern(r"\bwhat do i prefer\s*\??$|\bmy preferences?\s*\??$"),
        "allergy": _pattern(
            r"\bam i allergic\b(?: to (?:anything|something))?\s*\??$|\bmy allerg(?:y|ies)\b|\bwhat (?:am i|i am|i'm) allergic\b|\bwhat allergies\b"
        ),
        "diet": _pattern(r"\bmy diet\b|\bam i (?:a )?(?:vegan|vegetarian)\b"),
        "speaks": _pattern(r"\b(?:what|which) languages? (?:do|can) i speak\b"),
        "plays": _pattern(r"\b(?:what|which) (?:instruments?|sports?|games?) (?:do|can) i play\b|\bwhat do i play\b"),
        "studies": _pattern(r"\bwhat (?:do|am|did) i study(?:ing)?\b|\bmy (?:studies|subject)\b"),
        "drives": _pattern(
            r"\b(?:what|which)(?: kind of| sort of| type of)? (?:car |vehicle )?do i (?:drive|own)\b|\bmy (?:car|vehicle)\b"
        ),
        "married to": _pattern(r"\bwho am i (?:married|engaged) to\b|\bmy (?:spouse|husband|wife|partner)\b"),
    },
    overview=_pattern(
        r"\b(?:what|everything|all|anything)\b.{0,20}\byou (?:know|remember|have|learned|learnt)\b(?: about)? (?:of )?(?:me|myself)\b|\bwho am i to you\b"
        r"|\bwhat have i told you\b(?: so far| about (?:me|myself))?\s*\??$|\btell me about (?:me|myself)\b"
    ),
    naming=_pattern(r"^My .+ is called "),
    asks_name=_pattern(r"\b(?:names?|called|who)\b"),
    filler=word_set(
        "name call who what when where which how is be do can you please old colour color kind type full date day number again "
        "exact current thing one know anything about give"
    ),
    chatter=_pattern(
        r"^\W*(?:(?:hi|hello|hey|hiya|yo|good (?:morning|evening|afternoon|night)|thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|ty|ok(?:ay)?|yes|no|yep|yeah|nope|"
        r"sure|cool|great|nice|lol|haha+|bye|goodbye|see you(?: later| soon| tomorrow)?|good|fine|right|i see|got it|alright|wow|oh|ah|hm+|there|again|everyone|instar|"
        r"how are you(?: doing)?(?: today)?|what's up|welcome|you're welcome|please|test|ping)\W*)+$"
    ),
    related=tuple(
        word_set(group)
        for group in (
            "job work profession occupation career employ living trade",
            "film movie cinema",
            "car vehicle drive automobile",
            "doctor physician gp dr",
            "child son daughter baby",
            "flat apartment",
            "house home live",
            "holiday vacation trip travel",
            "wife husband partner spouse married marry wedding marriage",
            "shop store market buy purchase",
            "favourite favorite best like love enjoy prefer",
            "hate dislike detest",
            "ill sick illness disease",
            "eat food dish meal dinner lunch breakfast cook",
            "drink beverage tea coffee",
            "begin start",
            "end finish stop",
            "big large",
            "mum mom mother",
            "dad father",
            "phone telephone mobile number",
            "bike bicycle cycle",
            "music instrument play",
            "colour color",
            "neighbour neighbor",
            "exam test",
            "study degree university major",
            "allergic allergy",
            "born birthday birth",
            "money salary pay cost price euro dollar pound",
            "dog puppy pet",
            "cat kitten pet",
            "meet meeting appointment",
            "present gift",
            "fear afraid scared phobia",
            "name call",
            "recommend suggest advise",
            "sport run running swim tennis football",
            "book novel read",
            "town city village",
            "move relocate",
            "repair fix mend",
            "password code pin",
            "plane flight fly airport",
            "train railway station",
        )
    ),
    feelings=_FEELINGS,  # type: ignore[arg-type]
    negators=word_set(
        "not no never don't doesn't didn't isn't aren't wasn't weren't won't can't hardly without nothing ain't"
    ),
    intensifiers={
        "very": 1.4,
        "really": 1.3,
        "so": 1.3,
        "extremely": 1.6,
        "incredibly": 1.6,
        "absolutely": 1.5,
        "totally": 1.4,
        "super": 1.4,
        "too": 1.2,
        "a bit": 0.6,
        "a little": 0.6,
        "slightly": 0.5,
        "somewhat": 0.7,
        "kind of": 0.7,
        "sort of": 0.7,
        "quite": 1.1,
        "rather": 1.1,
        "deeply": 1.5,
        "utterly": 1.6,
        "pretty": 1.1,
    },
    trust=_pattern(
        r"\bi trust you\b|\bbetween (?:us|you and me)\b|\bi(?:'ve| have) never told (?:anyone|anybody)\b|\bnobody else knows\b|\bno one else knows\b|"
        r"\bi can (?:talk to|tell|confide in|count on|rely on) you\b|\byou(?:'re| are) (?:a good|my) (?:friend|listener)\b|"
        r"\bthank(?:s| you) for (?:listening|being there|your help|helping)\b|\byou (?:really )?(?:helped|understand) me\b|\bcan i confide\b|\bmy secret is\b"
    ),
)
"""The rules of English: written for talk, in British and American spelling."""
