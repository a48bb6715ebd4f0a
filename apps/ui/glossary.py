"""What the words of the page mean: the tips where they stand, and docs/glossary.md."""

from __future__ import annotations

GLOSSARY = {
    "episode": "A video, under a name of its own. Its runs and their results are kept with it.",
    "run": "One pass over an episode, with one set of options. Its results appear as a whole or "
    "not at all, and stay as they are.",
    "profile": "A named set of defaults: how much CPU a run may use, and how closely it looks. "
    "What is chosen beside it wins.",
    "stride": "How many frames the video goes on from one processed frame to the next. 6: every "
    "6th frame is looked at. Smaller finds more, and costs more CPU.",
    "frame": "One picture of the video. Only those that the stride takes are processed.",
    "face": "A face that was detected in one processed frame; also called a detection.",
    "sighting": "A processed frame in which a track's face was detected. Between two of them the "
    "box is put in between, and drawn dashed.",
    "track": "One face, followed from its first sighting to its last within one shot. The same "
    "person has another track after a cut, or after having been out of sight.",
    "person": "Tracks that are taken for one person's, since their faces look alike. What is wrong "
    "about that is corrected on the page; a run's own results stay as they are.",
    "appearance": "A stretch of time in which a person is on the screen without a gap.",
    "shot": "What one camera shows without interruption, from one cut to the next. No track goes "
    "over a cut.",
    "confidence": "How sure the detector is that it sees a face, from 0 to 1; of a track, the mean "
    "of its sightings.",
    "detection threshold": "The least confidence that counts as a face. Lower finds more faces, "
    "and more that are none.",
    "detection size": "The longer side of the picture that the detector looks at, in pixels. "
    "Larger finds smaller faces, at a cost that grows with its square.",
    "on screen": "For how many seconds a face is in the picture, estimated from the sightings, "
    "with the standard error of looking at some frames only.",
    "crop": "A face cut out of a frame and saved as a picture, for each sighting.",
    "preview": "A copy of the video with boxes and track numbers drawn into it, for other players. "
    "The page needs none: it draws over the video itself.",
    "detector": "The neural network that finds faces in a picture.",
    "device": "What the detector computes on: the CPU, or an accelerator such as a GPU.",
    "CPU cap": "How much CPU a run may use on average; 100 % is one core. It waits where it is "
    "ahead of that.",
    "local run": "A run that lives as long as the request, or the page, that started it.",
    "queued run": "A run that a worker does. It goes on when the page is closed.",
    "IDF1": "How well tracks keep to one person, from 0 to 1: the share of faces that carry the "
    "right person's number, when each person is given the track that fits best. Told where there "
    "is a hand-made truth to compare with.",
    "identity switch": "A place where a track goes from one person to another.",
}


def tip(word: str) -> str:
    """The tip where a word stands."""
    return GLOSSARY[word]
