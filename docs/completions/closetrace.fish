# fish completion for closetrace; the program itself tells its commands and options
_CLOSETRACE_COMPLETE=fish_source closetrace | source
