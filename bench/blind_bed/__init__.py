"""A test bed drawn by somebody who had not seen the detector: faces turned in space, 18 conditions, 200 fps.

It shares no drawing with ``realtime.synthesis``, so that a spotter that fits one generator's faces is found out. It is
a test: nothing is tuned on its clips, and it is not changed to suit the detector. Its random numbers, and the order in
which they are drawn, are part of it: a clip's name (condition and number) decides all its pixels but the portrait's.

A portrait is given depth, moved by the action units' fields and turned as a body (``head``, ``fields``, ``render``);
lids slide over still eyeballs (``eyes``); lips and jaw follow a real mouth's talk (``speech``); glasses mirror a window
and hands pass (``props``). Rise, fall and what is left afterwards are drawn from quantiles of CASME II, SAMM and DFME
(``courses``). ``script`` writes down what happens when, ``conditions`` lists the kinds of clips, ``clip`` makes one.
``bench/blind.py`` runs the spotter on them.

Fields, depth and displacements live on a grid of half the frame's size, (H / 2, W / 2), in px of the full frame. ``l``
and ``r`` are sides of the image. A movement's size is that of its strongest place, in px of the frame. Its onset is
the first frame above 5 % of the peak, its apex the first at the peak, its offset where the fall has slowed down to 5 %
of its greatest speed, whatever is left (``residual``: the share of the peak); that relaxes over 1.5 to 4 s.
"""
