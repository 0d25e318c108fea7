"""Says of each file, a line each, whether libvhdi or libvmdk opens it: "opens" or "refuses"."""
import sys


def opens(path, module):
    if module == "pyvhdi":
        import pyvhdi

        image = pyvhdi.file()
    else:
        import pyvmdk

        image = pyvmdk.handle()
    try:
        image.open(path)
        if module == "pyvmdk":
            image.open_extent_data_files()
        return image.get_media_size() > 0
    except OSError:
        return False


for path in sys.argv[2:]:
    print("opens" if opens(path, sys.argv[1]) else "refuses")
