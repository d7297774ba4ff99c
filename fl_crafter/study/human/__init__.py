"""A study with people: can they tell who is on a reconstruction?

A page shows photographs of four people, and reconstructions that a rater assigns to one of them or
to none. The page holds no truth; the key file does, and scores the answers.
"""

from fl_crafter.study.human.page import Question, Questionnaire, write_page
from fl_crafter.study.human.score import Answers, Key, Score, read_answers, score

__all__ = [
    "Answers",
    "Key",
    "Question",
    "Questionnaire",
    "Score",
    "read_answers",
    "score",
    "write_page",
]
