"""Start the page and the API: `python app.py`. `python app.py --help` lists what can be chosen."""

from demo.server import main

if __name__ == "__main__":
    raise SystemExit(main())
