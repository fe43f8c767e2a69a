"""The page behind a card's link: why the model said what it said, for a clinician with time."""
