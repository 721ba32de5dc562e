"""`canaryfleet completion`: the shells' side, a few lines each. What there is to complete, `complete` says."""

from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK

if TYPE_CHECKING:
    from argparse import ArgumentParser

# Answers are lines of a word, a tab and an explanation; `:files` and `:folders` ask the shell for its own. Nothing of an
# answer is evaluated by a shell: a folder's name could hold a command.
BASH = r"""# bash completion of canaryfleet:  source <(canaryfleet completion bash)
_canaryfleet() {
  local word text
  COMPREPLY=()
  while IFS=$'\t' read -r word text; do
    case $word in
      :files) compopt -o default 2>/dev/null ;;
      :folders) compopt -o dirnames 2>/dev/null ;;
      *) COMPREPLY+=("$word") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _canaryfleet canaryfleet
"""
ZSH = r"""#compdef canaryfleet
# zsh completion of canaryfleet:  source <(canaryfleet completion zsh), after compinit
_canaryfleet() {
  local word text
  local -a found
  while IFS=$'\t' read -r word text; do
    case $word in
      :files) _files; return ;;
      :folders) _files -/; return ;;
      *) found+=("${word//:/\\:}:$text") ;;
    esac
  done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe canaryfleet found
}
if [[ "${funcstack[1]:-}" == _canaryfleet ]]; then _canaryfleet "$@"; else compdef _canaryfleet canaryfleet; fi
"""
FISH = r"""# fish completion of canaryfleet:  canaryfleet completion fish | source
function __canaryfleet_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -q current[1]; or set current ''
    for line in ($typed[1] __complete $typed[2..-1] $current 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path $current
            case ':folders'
                __fish_complete_directories $current
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c canaryfleet -f -a '(__canaryfleet_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def parser() -> "ArgumentParser":
    """What the command takes."""
    from argparse import ArgumentParser

    found = ArgumentParser(
        prog="canaryfleet completion",
        description="Print what completes commands, options, apps, clusters, waves and releases in a shell.",
        allow_abbrev=False,
    )
    found.add_argument("shell", choices=tuple(SCRIPTS))
    return found


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    options = arguments.parse(parser(), given)
    print(SCRIPTS[options.shell], end="")
    return EXIT_OK
