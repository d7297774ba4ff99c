"""How the page says things: names, percentages, seconds."""

from fl_crafter.progress import duration as duration

DEFENCES = {
    "none": "No defence",
    "noise": "Noise",
    "substitution": "Substitution",
    "transport": "Substitution by transport",
    "projection": "Projection",
    "crafter": "Crafter",
    "crafter_simulated": "Crafter, simulated eavesdroppers",
    "crafter_published": "Crafter as published",
    "crafter_z": "Crafter-z",
    "advlearn": "AdvLearn",
    "disco_random": "Disco, random channels",
    "tiprdc": "TIPRDC",
}
DEFENCE_NOTES = {
    "none": "the clean feature",
    "noise": "the clean feature with noise",
    "substitution": "the feature of a similar public face",
    "transport": "the feature of a public face, all equally likely",
    "projection": "the part in a small public subspace",
    "crafter": "the crafted feature",
    "crafter_simulated": "the feature crafted against simulated eavesdroppers",
    "crafter_published": "the feature crafted against a simulated latent white box",
    "crafter_z": "the feature of a crafted, drawn face",
}
ATTACKS = {
    "white_box_latent": "White box, latent",
    "black_box_decoder": "Black box, decoder",
    "adaptive_decoder": "Adaptive decoder",
    "worst_case": "Worst case",
}
ATTACK_NOTES = {
    "white_box_latent": "holds the encoder's weights; searches a face generator's latent",
    "black_box_decoder": "queries the encoder; trains a decoder on public faces",
    "adaptive_decoder": "knows the defence too; trains on public faces protected by it",
}
DATASETS = {"orl": "ORL", "celeba": "CelebA", "lfw": "LFW", "vggface2": "VGGFace2"}
STATUSES = {
    "ok": "converged",
    "not_converged": "not converged",
    "diverged": "diverged",
    "identified": "refused by the gate",
}


def plain(name: str) -> str:
    """A name from a file as words: `data_loading` becomes `data loading`."""
    return name.replace("_", " ")


def defence_name(name: str) -> str:
    """What the page calls a defence."""
    return DEFENCES.get(name, _capital(plain(name)))


def dataset_name(name: str) -> str:
    """What the page calls a dataset."""
    return DATASETS.get(name, name)


def attack_name(name: str) -> str:
    """What the page calls an attack."""
    return ATTACKS.get(name, _capital(plain(name)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A share as a percentage with one decimal: `.0625` becomes `6.3%`."""
    return f"{100 * share:.1f}%"


def percent_interval(interval: tuple[float, float]) -> str:
    """An interval of shares: `3.1–9.8%`."""
    low, high = interval
    return f"{100 * low:.1f}–{100 * high:.1f}%"


def figure(value: float) -> str:
    """A figure with three decimals and a true minus sign."""
    return f"{value:.3f}".replace("-", "−")


def figure_interval(interval: tuple[float, float]) -> str:
    """An interval of figures: `.812–.861`."""
    return "–".join(figure(bound) for bound in interval)
