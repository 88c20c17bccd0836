"""What was measured, and how to measure it again: each study is a command or ``python -m``.

``accuracy`` over weight bits and seeds; ``blocks``, ``depth`` and ``depth_accuracy`` over depth;
``lyapunov`` over leak and threshold; ``scaling`` of the sequential engine and ``bench`` against
published designs, which as parts of the front door know all rooms.
"""
