"""What `mitmdump -s addons/gateway.py` loads: the addon classes of livegate in pipeline order."""

from livegate.addons import pipeline

addons = pipeline()
