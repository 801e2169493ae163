"""Other people's JavaScript, run in child processes.

`JavaScript` (`pool`) is what the services use. It keeps a few children (`worker`), each running the functions
of one design document at a time; `child` is the program in them, `environment.js` what functions find there.
"""
