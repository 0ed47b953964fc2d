"""The words of the stories, by what they can stand for."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHE = _words(
    "lily mia anna zoe ruby ella nora ivy rosa tess clara maya june faye lena opal wren hazel iris "
    "dora elsa greta hana kira luna vera"
)
HE = _words(
    "tom ben max leo sam finn hugo noah jack oscar theo milo eli otto remy felix jonas karl luis "
    "marco nils omar paul quinn rufus sven"
)
KINDS = _words("rabbit fox bear mouse owl cat dog duck frog hen goat lamb pony wolf deer otter")
TRAITS = _words(
    "little brave shy clever kind lazy hungry proud quiet funny gentle tiny curious sleepy lonely "
    "cheerful wise young silly patient careful noisy polite stubborn"
)
PLACES = {
    "near": _words("river forest lake sea windmill bridge"),
    "in": _words("village garden castle valley meadow cave"),
    "on": _words("hill farm island mountain beach cliff"),
    "behind": _words("barn church school mill market tower"),
}
TIMES = _words("morning day evening night winter summer autumn afternoon")
COLORS = _words("red blue green yellow white black golden silver purple gray brown pink")
THINGS = {
    "toy": _words("ball kite doll drum boat puzzle balloon whistle puppet marble wagon top"),
    "food": _words("cake apple pie cookie pear plum carrot bun cheese berry melon soup"),
    "creature": _words("kitten puppy snail turtle bird beetle hedgehog pigeon butterfly squirrel hamster goldfish"),
    "treasure": _words("coin ring key lamp map crown mirror box bell jewel feather shell"),
}
VERBS = {
    "toy": _words("played threw bounced painted fixed shook pulled pushed"),
    "food": _words("ate tasted sliced shared cooked smelled nibbled warmed"),
    "creature": _words("fed petted chased hugged followed watched washed named"),
    "treasure": _words("hid polished kept studied buried locked counted wrapped"),
}
QUALITIES = {
    "toy": _words("fun bouncy fast loud new broken clumsy wobbly"),
    "food": _words("sweet sour tasty fresh crunchy sticky bitter juicy"),
    "creature": _words("soft furry friendly scared clean wild tame thirsty"),
    "treasure": _words("shiny magic rare precious heavy ancient secret useful"),
}
MOODS = _words("happy sad angry tired excited worried surprised calm jealous thankful bored hopeful nervous glad")
MANNERS = _words("slowly quickly quietly happily gently twice carefully again alone together all-day outside")
