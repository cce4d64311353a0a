"""What `mitmdump -s addons/gateway.py` loads: the addon classes of livegate in pipeline order."""

from livegate.gateway import pipeline

addons = pipeline()
