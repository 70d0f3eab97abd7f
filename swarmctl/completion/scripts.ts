/** What shells load. All that is specific to commands they ask `swarmctl __complete` for, with the words up to the cursor. */
import { filesLine } from "./complete.ts";

/** Bash breaks words at "=" and ":", too: what it has before them is taken off each candidate. */
const bash = `# bash completion for swarmctl: source <(swarmctl completion bash)
_swarmctl() {
  local line=\${COMP_LINE:0:COMP_POINT} words current prefix candidate
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=\${COMP_WORDS[COMP_CWORD]}
  [[ $current == [=:] ]] && current=
  prefix=\${words[-1]%"$current"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    if [[ $candidate == ${filesLine} ]]; then
      compopt -o default 2>/dev/null
      return
    fi
    candidate=\${candidate%%$'\\t'*}
    [[ $candidate == *= ]] && compopt -o nospace 2>/dev/null
    COMPREPLY+=("\${candidate#"$prefix"}")
  done < <(swarmctl __complete -- "\${words[@]:1}" 2>/dev/null)
}
complete -F _swarmctl swarmctl
`;

const zsh = `#compdef swarmctl
# zsh completion for swarmctl: source <(swarmctl completion zsh), or as _swarmctl in a folder of fpath
_swarmctl() {
  local -a lines described plain
  local line
  lines=("\${(@f)$(swarmctl __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $lines[1] == ${filesLine} ]]; then
    _files
    return
  fi
  for line in $lines; do
    if [[ $line == *$'\\t'* ]]; then
      described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    elif [[ -n $line ]]; then
      plain+=("$line")
    fi
  done
  (( $#described )) && _describe swarmctl described
  (( $#plain )) && compadd -a plain
  return 0
}
if [[ \${funcstack[1]} == _swarmctl ]]; then
  _swarmctl "$@"
else
  compdef _swarmctl swarmctl
fi
`;

const fish = `# fish completion for swarmctl: swarmctl completion fish | source
function __swarmctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l lines (swarmctl __complete -- $words[2..] "$current" 2>/dev/null)
    if test "$lines[1]" = ${filesLine}
        __fish_complete_path "$current"
    else
        printf '%s\\n' $lines
    end
end
complete --command swarmctl --no-files --arguments '(__swarmctl_complete)'
`;

export const scripts = { bash, zsh, fish } as const;
export type Shell = keyof typeof scripts;
