# bash completion for closetrace; the program itself tells its commands and options
eval "$(_CLOSETRACE_COMPLETE=bash_source closetrace)"
