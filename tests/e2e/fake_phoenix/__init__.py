"""A Phoenix app for tests, with views, channels and both transports, that sends what a genuine one sends (`test_fake_phoenix`).

`app` is what it does, without a socket; `server` serves it; `client.js` is bundled with the genuine clients from npm.
"""
