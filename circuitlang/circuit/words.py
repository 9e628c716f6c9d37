"""Word lists that ship with the language.

``names``, ``places`` and ``objects`` are those of the IOI data set (Wang et al. 2022,
redwoodresearch/Easy-Transformer@ea15315, easy_transformer/ioi_dataset.py). ``nouns`` are those of
the Greater-Than data set (Hanna et al. 2023, hannamw/gpt2-greater-than@0e6dc8c,
cache/potential_nouns.txt). ``letters`` are the capitals.
"""

BUILTIN_WORDS: dict[str, tuple[str, ...]] = {
    "names": tuple(
        """
        Michael Christopher Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David James Robert
        John Joseph Andrew Ryan Brandon Jason Justin Sarah William Jonathan Stephanie Brian Nicole
        Nicholas Anthony Heather Eric Elizabeth Adam Megan Melissa Kevin Steven Thomas Timothy
        Christina Kyle Rachel Laura Lauren Amber Brittany Danielle Richard Kimberly Jeffrey Amy
        Crystal Michelle Tiffany Jeremy Benjamin Mark Emily Aaron Charles Rebecca Jacob Stephen
        Patrick Sean Erin Jamie Kelly Samantha Nathan Sara Dustin Paul Angela Tyler Scott Katherine
        Andrea Gregory Erica Mary Travis Lisa Kenneth Bryan Lindsey Kristen Jose Alexander Jesse
        Katie Lindsay Shannon Vanessa Courtney Christine Alicia Cody Allison Bradley Samuel
        """.split()  # noqa: SIM905 - names are read more easily without quotes
    ),
    "letters": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "places": ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station"),
    "objects": ("ring", "kiss", "bone", "basketball", "computer", "necklace", "drink", "snack"),
    "nouns": tuple(
        """
        abduction accord affair agreement appraisal assaults assessment attack attempts campaign
        captivity case challenge chaos clash collaboration coma competition confrontation
        consequence conspiracy construction consultation contact contract convention cooperation
        custody deal decline decrease demonstrations development disagreement disorder dispute
        domination dynasty effect effort employment endeavor engagement epidemic evaluation
        exchange existence expansion expedition experiments fall fame flights friendship growth
        hardship hostility illness impact imprisonment improvement incarceration increase
        insurgency invasion investigation journey kingdom marriage modernization negotiation
        notoriety obstruction operation order outbreak outcome overhaul patrols pilgrimage plague
        plan practice process program progress project pursuit quest raids reforms reign
        relationship retaliation riot rise rivalry romance rule sanctions shift siege slump stature
        stint strikes study test testing tests therapy tour tradition treaty trial trip
        unemployment voyage warfare work
        """.split()  # noqa: SIM905 - as above
    ),
}
