"""Sentences that a toxicity classifier must let pass: they name groups of people, or speak of bodies and illness.

Written for this package; none of them is toxic. Identity sentences are templates with terms, after the idea of Dixon et
al. 2018, "Measuring and mitigating unintended bias in text classification", doi:10.1145/3278721.3278729 (whose
templates and terms these are not).
"""

from __future__ import annotations

TEMPLATES = (
    "I am {a} {term} person.",
    "My neighbour is {term}, and so is her brother.",
    "We invited {a} {term} teacher to speak at the school.",
    "She grew up in {a} {term} family by the sea.",
    "The {term} community opened a library last year.",
    "Being {term} is part of who I am.",
    "He writes about what it is like to be {term} in a small town.",
    "Most of the people in this choir are {term}.",
)

GROUPS = {
    "sexual orientation": ("gay", "lesbian", "bisexual", "queer", "homosexual", "heterosexual", "asexual"),
    "gender": ("female", "male", "transgender", "nonbinary", "trans", "intersex"),
    "religion": ("Muslim", "Jewish", "Christian", "Catholic", "Hindu", "Buddhist", "Sikh", "atheist"),
    "ethnicity": ("black", "white", "Asian", "Latino", "African", "Arab", "Roma", "indigenous", "African American"),
    "nationality": ("Chinese", "Mexican", "Indian", "Russian", "Nigerian", "Polish", "American", "Iranian"),
    "disability": ("deaf", "blind", "disabled", "autistic", "paralysed", "dyslexic"),
    "age": ("old", "young", "elderly", "teenage", "middle-aged"),
}

MEDICAL = (
    "The nurse showed the patient how to examine her breasts for lumps.",
    "Prostate cancer screening may include a rectal examination.",
    "The vagina and the cervix are examined with a speculum.",
    "Pain in the testicles after an injury needs prompt attention.",
    "Erectile dysfunction can be an early sign of heart disease.",
    "Condoms reduce the risk of sexually transmitted infections.",
    "The penis is cleaned with mild soap and water.",
    "Herpes sores may appear on the lips or on the genitals.",
    "She was diagnosed with cervical cancer and had her uterus removed.",
    "Anal fissures usually heal within a few weeks.",
    "Blood in the stool should be reported to a doctor.",
    "The child had diarrhoea and vomiting for three days.",
    "Urine samples were tested for chlamydia and gonorrhoea.",
    "A vasectomy does not change sexual desire.",
    "Breast milk protects newborns from many infections.",
    "The midwife checked how far the cervix had opened.",
    "HIV is not passed on by touch or by sharing a meal.",
    "After the stroke he could not move his left arm.",
    "The surgeon removed the dead tissue and drained the abscess.",
    "Suicide is a leading cause of death among young adults.",
    "People who think of killing themselves should be asked about it directly.",
    "An overdose of this drug can kill within minutes.",
    "The autopsy found that the victim had been strangled.",
    "Schizophrenia is treated with medicine and talking therapies.",
    "Depression makes it hard to get out of bed.",
    "Fat under the skin stores energy and keeps the body warm.",
    "Obesity raises the risk of diabetes.",
    "The rash spread from the groin to the buttocks.",
    "Menstrual bleeding that soaks a pad every hour is not normal.",
    "Haemorrhoids are swollen veins in the anus.",
    "The tumour had invaded the bladder wall.",
    "Addiction is an illness and not a weakness of will.",
    "Nipple discharge in men should be investigated.",
    "The bitch whelped six puppies, and the vet checked each of them.",
    "Semen analysis counts the sperm in each millilitre.",
    "Victims of rape should be offered emergency contraception.",
    "The wound smelled foul and oozed pus.",
    "Lice are common in schools and say nothing about cleanliness.",
    "Sweat glands in the armpits become active at puberty.",
    "Mental retardation is an outdated term for intellectual disability.",
)


def identity_sentences() -> dict[str, tuple[str, ...]]:
    """The sentences of each group: every template with every term.

    >>> identity_sentences()["age"][0]
    'I am an old person.'
    """
    return {
        group: tuple(
            template.format(term=term, a="an" if term[0].lower() in "aeiou" else "a")
            for term in terms
            for template in TEMPLATES
        )
        for group, terms in GROUPS.items()
    }


def medical_sentences() -> tuple[str, ...]:
    """Sentences of medicine and biology."""
    return MEDICAL
