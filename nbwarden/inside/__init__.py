"""All that runs beside a student's code: the standard library, NumPy and ipykernel, nothing else.

Nothing here is a defense. It lives in the same process as the student's code, which may change all
of it; outside, nothing of what it sends is believed but that it is data.
"""
