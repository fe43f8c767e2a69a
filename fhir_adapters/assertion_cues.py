"""The words by which clinical text denies, dates, ascribes and supposes: the data of assertions.py.

One cue a line or comma; matching is by whole words, the longest cue first. A cue that starts with
words of a shorter one takes precedence over it, which is how "no increase" is kept from being
read as "no". "#" stands for a number.
"""

from __future__ import annotations

from enum import Enum


class Cue(Enum):
    """What a cue does to the words around it."""

    NEGATES_AFTER = "what follows is absent: no, without"
    NEGATES_CLAUSE = "the whole clause is absent: not, never"
    NEGATES_BEFORE = "what precedes is absent, or what follows if nothing precedes: negative"
    NEGATES_BESIDE = "what follows is absent, or what precedes if nothing follows: denies"
    HISTORICAL_AFTER = "what follows is past: history of"
    HISTORICAL_BEFORE = "what precedes is past, or what follows if nothing precedes: resolved"
    HISTORICAL_CLAUSE = "the whole clause is past: years ago"
    FAMILY_AFTER = "what follows is about relatives: family history of"
    HYPOTHETICAL_AFTER = "what follows is not asserted: monitor for"
    HYPOTHETICAL_BEFORE = "what precedes is not asserted: prophylaxis"
    HYPOTHETICAL_REST = "the clause, and what follows it, is conditional: if"
    HYPOTHETICAL_IF_FOR = "conditional if a 'for' or 'with' follows soon: call ... for"
    ENDS_ALL = "a new statement begins: but"
    ENDS_NEGATION = "what follows is asserted: due to, reports"
    ENDS_NOUN = "a verb ends what 'no' denies: is, had"
    ENDS_HISTORY = "what follows is present: now"
    NOTHING = "looks like a cue and is none: no increase"


CUES: dict[Cue, str] = {
    Cue.NEGATES_AFTER: """
        no, without, w/o, denies any, little to no, absence of, free of, free from,
        devoid of, lack of, lacks, lacking, no evidence of, no sign of, no signs of,
        nothing to suggest, ruled out for, rules out, low suspicion for, low suspicion of,
        fails to show, fails to reveal, failed to show, failed to reveal, fails to demonstrate,
        refused, refuses, declined, declines, nor, no longer, nil, w/out, unremarkable for
    """,
    Cue.NEGATES_CLAUSE: """
        no one in the family, no one in his family, no one in her family, nobody in the family,
        negative for, neg for, not, never, neither, cannot, can not, unable to, inability to, yet to, unlikely,
        doesn't, don't, didn't, isn't, wasn't, aren't, weren't, hasn't, haven't, hadn't, can't,
        couldn't, doesnt, didnt, isnt, wasnt, cant, nothing, doubt
    """,
    Cue.NEGATES_BEFORE: """
        ruled out, was ruled out, were ruled out, has been ruled out, have been ruled out,
        been excluded, was excluded, absent, none, is denied, was denied, are denied, not seen,
        not identified, not detected, not noted, not present, not found, not visualized,
        not visualised, not appreciated, not demonstrated, not evident, undetectable,
        undetected, less likely, negative, neg, (-), (neg), pain free, pain-free, symptom free, symptom-free,
        seizure free, seizure-free
    """,
    Cue.NEGATES_BESIDE: """
        denies, denied, deny, denying
    """,
    Cue.HISTORICAL_AFTER: """
        history of, h/o, hx of, hx, history significant for, history notable for,
        history includes, history including, medical history, surgical history, s/p, status post,
        prior, previous, past, remote, former, formerly, old, childhood, known history of,
        pmh, pmhx, psh, pshx, past medical history, past surgical history
    """,
    Cue.HISTORICAL_BEFORE: """
        resolved, has resolved, have resolved, had resolved, since resolved
    """,
    Cue.HISTORICAL_CLAUSE: """
        previously, used to, in the past, years ago, year ago, yrs ago, yr ago, months ago, month ago,
        decades ago, last year, last month, as a child, in childhood, as a teenager,
        quit
    """,
    Cue.FAMILY_AFTER: """
        family history, family hx, fam hx, family medical history, fhx, fh, familial history,
        no one in the family, no one in his family, no one in her family, nobody in the family,
        family members with
    """,
    Cue.HYPOTHETICAL_AFTER: """
        rule out, r/o, to exclude, evaluate for, eval for, evaluation for, assess for,
        workup for, work up for, work-up for, screen for, screening for, check for, look for,
        monitor for, monitoring for, watch for, watching for, observe for, monitor closely for,
        at risk for, at risk of, high risk for, high risk of, risk for, risk of, risks including,
        risks include, risks of, potential for, to prevent, prevention of, prophylactic,
        prophylaxis for, prophylaxis against, as needed, prn, p.r.n., may develop, might develop,
        could develop, may progress, could progress, might progress, warned about,
        return for, return with, precautions for, educated on, educated about, counseled on,
        counseled about
    """,
    Cue.HYPOTHETICAL_BEFORE: """
        prophylaxis, precautions, ppx
    """,
    Cue.HYPOTHETICAL_REST: """
        if, unless, in case, in the event of, in the event that, as long as, provided that,
        whenever, should he, should she, should they, should it, should the, should there,
        should any, should symptoms, should fever, should pain, should bleeding, should mental,
        should his, should her, should patient, would
    """,
    Cue.HYPOTHETICAL_IF_FOR: """
        call, notify, page, hold, seek care, seek medical care, seek medical attention,
        return to the, return to ed, return to er, return to hospital, return to clinic,
        come back, instructed to return, told to return, advised to return, contact
    """,
    Cue.ENDS_ALL: """
        but, however, although, though, except, except for, other than, apart from, aside from,
        with the exception of, yet, whereas, while, besides, nevertheless, otherwise, ;, |
    """,
    Cue.ENDS_NEGATION: """
        due to, because, because of, secondary to, given, despite, in spite of, reports,
        reported, endorses, endorsed, complains, complained, c/o, admits, admitted, presents,
        presented, presenting, states, remains, developed, and is, and has, and was, and are,
        and were, and had, and appears, and feels, and looks, and able, and tolerating,
        and tolerates, and eating, and walking, and ambulating, and complains, and states, and now, and reports, and remains, with persistent, with ongoing,
        with worsening, with continued, with new, with increasing, and continues, continues, now, found to have, positive,
        pos, +
    """,
    Cue.ENDS_NOUN: """
        is, are, was, were, has, have, had
    """,
    Cue.ENDS_HISTORY: """
        presents, presented, presenting, admitted, now, currently, today, complains, c/o,
        complaining, here with, here for, with residual, with ongoing, with persistent,
        with new, with current, who presents, brought, reports, this morning, this admission,
        on exam, on arrival, transferred, found to have
    """,
    Cue.NOTHING: """
        no increase, no increased, no change, no changes, no significant change, no interval change,
        no significant interval change, no acute change, no improvement, no relief, no worsening,
        no decrease, no reduction, no difference, no doubt, no reason to doubt, no question,
        no one, no. #, negative #, not only, not just, not necessarily, not certain, not clear, not sure, not known if,
        not known whether, unclear if, unclear whether, unsure if, unknown if,
        unknown whether, previously described, previously noted, previously seen,
        previously identified, previously reported, previously mentioned, previously documented,
        previously demonstrated, previously visualized, as previously, not improved, not changed,
        not worsened, not worsen, not improve, not improving, not increased, not decreased,
        not resolved, not tested, not assessed, not examined, not to exceed, not without, not excluded, not ruled out, not deny,
        does not deny, did not deny, doesn't deny, didn't deny, cannot be ruled out,
        cannot be excluded, cannot exclude, cannot rule out, can not be ruled out,
        can not be excluded, can not exclude, can not rule out, can't exclude, can't rule out,
        could not be excluded, could not be ruled out, not be ruled out, not be excluded,
        not rule out, not exclude, without difficulty, without contrast, without problem,
        without problems, without incident, without assistance, without help, without issue,
        without issues, without complication, without complications, no problem, no problems with,
        gram negative, gram-negative, gram neg, false negative, negative pressure,
        net negative, rh negative, -negative,
        history of present illness, history of the present illness, history of presenting illness,
        history was, history is limited, smoking history, social history, prior to,
        prior to admission, from prior, from previous, to prior, to previous, with prior, since prior,
        with previous, than prior, than previous, past week, past day, past few, past several,
        past two, past three, past hour, past hours, past night, past shift, past weekend,
        year old, years old, yr old, yrs old, month old, week old, day old, year-old, month-old,
        week-old, day-old, yo, as if, asked if, asks if, see if, wonders if, determine if,
        know if, knows if, half past, old records, old chart, return to baseline, return to normal,
        call light, call bell, on hold, hold on, hold pressure
    """,
}

RELATIVES = frozenset(
    {
        *("mother", "father", "mom", "dad", "sister", "sisters", "brother", "brothers"),
        *("sibling", "siblings", "parent", "parents", "aunt", "aunts", "uncle", "uncles"),
        *("cousin", "cousins", "grandmother", "grandfather", "grandparent", "grandparents"),
        *("son", "sons", "daughter", "daughters", "husband", "wife", "spouse", "partner"),
        *("niece", "nephew", "twin", "roommate", "relative", "relatives"),
        *("grandson", "granddaughter", "grandchild", "grandchildren", "children", "kids"),
        *("coworker", "coworkers", "friend", "neighbor", "fiance", "girlfriend", "boyfriend"),
        *("member", "members", "contact", "contacts"),
    }
)
# After a relative: he or she has it. Adverbs and auxiliaries may stand between.
HAS_DISEASE = frozenset(
    {
        *("had", "has", "have", "having", "with", "without", "died", "deceased", "diagnosed"),
        *("suffers", "suffered", "suffering", "developed", "history", "hx", "h", "positive"),
        *("tested", "healthy", "alive", "living", "dx", "affected", "carries", "treated", ":"),
        *("underwent", "passed", "succumbed", "lived", "sick", "ill", "hospitalized", "known"),
        *("smokes", "smoked", "diabetic", "alcoholic", "recovering", "carried"),
    }
)
BETWEEN = frozenset(
    {
        *("who", "that", ",", "recently", "also", "reportedly", "never", "both", "is", "was"),
        *("are", "were", "been", "currently", "previously", "each", "all", "did", "does", "not"),
        *("side", "'", "(", ")", "maternal", "paternal", "and", "or", "at", "home", "just"),
        *("previously", "later", "now", "too", "once", "there"),
    }
)
# Before a relative: the disease is his or hers. Articles and adjectives may stand between.
BELONGS_TO = frozenset({"in", "of"})
DETERMINERS = frozenset(
    {
        *("a", "an", "the", "his", "her", "their", "patient's", "pt's", "maternal", "paternal"),
        *("both", "one", "two", "older", "younger", "elder", "half", "first-degree", "degree"),
        *("first", "-", "patient", "s", "'", "’"),
    }
)

# Words that carry no finding: a piece made of nothing else joins its neighbour.
CARRIERS = frozenset(
    {
        *("a", "an", "the", "this", "that", "these", "there", "it", "he", "she", "they", "we"),
        *("i", "his", "her", "their", "its", "any", "all", "of", "in", "on", "at", "to", "by"),
        *("with", "for", "from", "and", "or", "as", "per", "is", "are", "was", "were", "be"),
        *("been", "being", "has", "have", "had", "having", "do", "does", "did", "will", "patient"),
        *("pt", "pts", "patients", "who", "which", "m", "f", "male", "female", "man", "woman"),
        *("year", "years", "yr", "yrs", "yo", "y", "o", "old", "gentleman", "lady", "reports"),
        *("reported", "states", "stated", "says", "said", "notes", "noted", "shows", "showed"),
        *("show", "reveals", "revealed", "demonstrates", "demonstrated", "seen", "found"),
        *("identified", "ct", "mri", "mra", "cta", "xr", "x", "ray", "cxr", "us", "ultrasound"),
        *("echo", "echocardiogram", "tte", "tee", "ekg", "ecg", "eeg", "scan", "film", "films"),
        *("imaging", "study", "exam", "examination", "physical", "ros", "review", "systems"),
        *("labs", "test", "tests", "chest", "head", "abdomen", "abd", "pelvis", "neck", "lungs"),
        *("lung", "heart", "cardiac", "neuro", "skin", "extremities", "ext", "wound", "incision"),
        *("today", "overnight", "currently", "now", "still", "also", "again", "otherwise"),
        *("this", "morning", "evening", "night", "time", "since", "during", "after", "before"),
        *("admission", "but", "however", "although", "though", "except", "yet", "while", "known"),
        *("known", "significant", "please", "other", "than", "then", "so", "very", "some", "feels"),
        *("s", "t", "mr", "mrs", "ms", "dr", "wife", "husband", "mother", "father", "family"),
        *("son", "daughter", "parents", "that", "when", "where", "both", "either", "symptoms"),
        *("procedure", "surgery", "visit", "shift", "exam", "bedside", "point", "hour", "hours"),
        *("placed", "taken", "performed", "done", "made", "given", "obtained", "present"),
        *("detected", "visualized", "observed", "appreciated", "evident", "available", "felt"),
        *("heard", "described", "documented", "rays", "x-rays", "urinalysis", "ua", "urine"),
        *("cytology", "culture", "cultures", "swab", "place", "one", "two", "three", "several"),
        *("multiple", "few"),
        *("hr", "hrs", "h", "day", "days", "week", "weeks", "minutes", "min", "times", "recently"),
    }
)
# A clause after a comma that holds one of these is no item of a list of denied symptoms.
STATES = frozenset(
    {
        *("clear", "soft", "intact", "normal", "stable", "alert", "awake", "oriented", "present"),
        *("palpable", "warm", "dry", "supple", "regular", "equal", "reactive", "distended"),
        *("slurred", "tender", "nontender", "comfortable", "cooperative", "improved", "improving"),
        *("unchanged", "elevated", "decreased", "increased", "low", "high", "open", "closed"),
        *("tachycardic", "hypotensive", "febrile", "afebrile", "hypoxic", "confused", "lethargic"),
        *("intubated", "sedated", "extubated", "ambulatory", "healing", "healed", "good", "fair"),
        *("poor", "well", "patent", "bilateral", "positive", "pos", "mild", "moderate", "severe"),
        *("persistent", "worsening", "new", "productive", "continued", "ongoing", "chronic"),
        *("self", "only", "some", "occasional", "smokes", "drinks", "lives", "patient", "pt"),
        *("he", "she", "they", "will", "continue", "plan", "started", "given", "received"),
        *("can", "able", "moves", "follows", "walks", "eats", "tolerates", "sleeps", "to", "on"),
        *("takes", "uses", "appears", "seems", "likely", "possible", "probably", "preserved"),
        *("wnl", "nl", "unremarkable", "benign", "appropriate", "symmetric", "full", "strong"),
        *("adequate", "controlled", "reassuring", "pink", "moist", "midline", "nonlabored"),
        *("unlabored", "even", "steady", "calm", "pleasant", "drowsy", "sleepy", "tired", "weak"),
        *("pale", "anxious", "agitated", "restless", "trending", "down", "up", "sinus", "pulses"),
        *("obese", "thin", "resolved", "but", "a", "the"),
    }
)
# "No vomiting, wheezing": symptoms. Other words in -ing before more words are what somebody does.
SYMPTOMS_IN_ING = frozenset(
    {
        *("vomiting", "coughing", "wheezing", "bleeding", "swelling", "itching", "burning"),
        *("bruising", "sneezing", "tingling", "choking", "ringing", "sweating", "drooling"),
        *("stinging", "cramping", "fainting", "spotting", "gagging", "shaking", "stabbing"),
        *("guarding", "clubbing", "posturing", "seizing", "twitching", "squeezing", "flushing"),
        *("gasping", "grunting", "flaring", "breathing", "hearing", "shivering", "trembling"),
        *("heaving", "retching", "scarring", "peeling", "blistering", "weeping", "limping"),
    }
)

HISTORICAL_SECTIONS = frozenset(
    {
        *("past medical history", "pmh", "pmhx", "past surgical history", "psh", "pshx"),
        *("past history", "medical history", "surgical history", "past medical hx"),
        *("past surgical hx", "previous history", "history of past illness", "past illness"),
        *("resolved problems", "past medical and surgical history", "prior medical history"),
        *("past psychiatric history", "past cardiac history", "past oncologic history", "pmhx/pshx"),
    }
)
FAMILY_SECTIONS = frozenset(
    {"family history", "fh", "fhx", "family hx", "family medical history", "fam hx"}
)
HYPOTHETICAL_SECTIONS = frozenset(
    {
        *("return precautions", "when to call", "when to seek care", "reasons to return"),
        *("warning signs", "when to call your doctor", "when to return", "call your doctor if"),
    }
)
