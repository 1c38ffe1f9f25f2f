"""python -m dtgan.data.procedural --out=sheet.png: writes a contact sheet."""

from dtgan.data.procedural.source import main

if __name__ == "__main__":
    main()
