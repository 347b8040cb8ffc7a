class RecordingWriter:
    pass
