"""`edgekd serve`: a model behind HTTP; one process that speaks it, and one per core that sees the pictures.

    client ── HTTP ── server (FastAPI on uvicorn, no picture is decoded here)
                         │ a bounded queue
                         ├── worker: decode → edgekd.resample/1 → LiteRT → answer
                         └── worker …

A worker holds the model and answers one picture after another over a socket pair. What a picture does to it
(a crash, an endless loop, all its memory) ends that process, not the service: the picture is refused and
another worker is started. Threads would not do: the words of a codec are heard on the process's stderr, so
decoding is one picture at a time in a process (`edgekd.imaging.opencv`), and a crash would take all.
"""
