"""Trials of an experiment, marked in a running session. In PsychoPy: ``tell`` beside each ``win.flip()``.

First: merealtime --camera 0 --record recordings --subject S01 --control tcp://127.0.0.1:5556
Then:  python experiment.py [ENDPOINT]
"""

import sys
import time

import zmq

session = zmq.Context().socket(zmq.REQ)
session.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556")


def tell(**request):
    session.send_json(request)
    answer = session.recv_json()
    assert answer["ok"], answer["error"]
    return answer


while tell(do="status")["phase"] != "running":
    time.sleep(0.1)
tell(do="rest")  # the participant looks at the fixation cross
for film in ("neutral", "disgust", "surprise"):
    shown = tell(do="mark", text=f"film {film}")
    print(film, "at frame", shown["frame"])
    time.sleep(0.5)  # here the film is shown
    tell(do="mark", text="answer")
tell(do="stop")
