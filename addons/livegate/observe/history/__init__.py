"""History for operators: sessions, recorded frames, incidents, stylesheets and a time series, each bounded.

`addon` fills it on the event loop; `admin` reads it.
"""
