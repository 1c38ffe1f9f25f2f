"""python -m dtgan.data.steel_defects --data_dir=DIR: prepares the TFDS data set."""

from dtgan.data.steel_defects.steel_defects import main

if __name__ == "__main__":
    main()
