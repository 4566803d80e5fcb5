"""Small facial movements planted into recordings of real people, and clips of events that are none.

The living suite (``realtime/synthesis``) draws its faces; here skin, talk, blinks, compression and camera noise are
real, and only the movement in question is made. An action unit is a field of displacements on the tracked face mesh
(``moves``) with a time course of its own (``courses``); each frame is warped by it (``warps``), so that the truth is
known to the frame and to the pixel. Whoever wrote the clips had not seen the detector. They are a test: nothing is
tuned on them.

``recipes`` lists the clips as data, ``sources`` the pieces of video they are made of, ``scenes`` what else happens in
them (lamp, shake, codec, hands), ``fast`` makes 200 fps clips of a still, ``draw`` writes them.
``bench/real_planted.py`` runs merealtime on them.

Sides are the person's own (left is the image's right), swapped in mirrored clips, so that they stay the sides of the
person as shown. Sizes are px of a face that is 152 px wide (landmarks 234 to 454): ``px_at_152``.
"""
