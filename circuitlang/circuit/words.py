"""Word lists that ship with the language.

``names``, ``places`` and ``objects`` are those of the IOI data set (Wang et al. 2022,
redwoodresearch/Easy-Transformer@ea15315, easy_transformer/ioi_dataset.py).
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
    "places": ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station"),
    "objects": ("ring", "kiss", "bone", "basketball", "computer", "necklace", "drink", "snack"),
}
