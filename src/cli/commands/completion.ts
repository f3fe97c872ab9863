import { Argument, type Command, type Option } from 'commander';

type CompletedCommand = ReturnType<typeof commandsOf>[number];
type CompletedOption = ReturnType<typeof completed>;
type Shell = 'bash' | 'zsh' | 'fish';

/** `completion SHELL`: prints the script by which a shell completes our commands and options. It is made from the commands that there are. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'which one').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      `
bash: source <(olares-secrets completion bash)
zsh:  source <(olares-secrets completion zsh)
fish: olares-secrets completion fish | source`,
    )
    .action((shell: Shell) => {
      process.stdout.write(SCRIPTS[shell](program.name(), commandsOf(program)));
    });
}

/** Returns the commands; `words` are those that its first argument may be, none where it may be anything. */
function commandsOf(program: Command) {
  const commands = program.createHelp().visibleCommands(program);
  const names = commands.map((command) => command.name());
  return commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    words: command.name() === 'help' ? names : (command.registeredArguments[0]?.argChoices ?? []),
    options: command.createHelp().visibleOptions(command).map(completed),
  }));
}

/** Returns an option: `flags` are `--env`, and `-y` where there is a short one; `values` are none where it may have any. */
function completed(option: Option) {
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    description: option.description,
    takesValue: option.required || option.optional,
    values: option.argChoices ?? [],
  };
}

const SCRIPTS: Readonly<Record<Shell, (program: string, commands: readonly CompletedCommand[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

function bashScript(program: string, commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ name, words, options }) => {
    const values = options
      .filter(({ values }) => values.length > 0)
      .map(({ flags, values }) => `${flags.join('|')}) words=${quoted(values.join(' '))} ;;`);
    const others = options.filter(({ takesValue, values }) => takesValue && values.length === 0);
    const anything = others.length > 0 ? [`${flagsOf(others).join('|')}) words= ;;`] : [];
    const all = quoted([...words, ...flagsOf(options)].join(' '));
    return `    ${name}) case "$previous" in ${[...values, ...anything].join(' ')} *) words=${all} ;; esac ;;`;
  });
  return `# bash completion of ${program}
_${identifier(program)}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words= at
  for ((at = 1; at < COMP_CWORD; at++)); do [ "\${COMP_WORDS[at]}" = -- ] && return; done
  if ((COMP_CWORD == 1)); then words=${quoted([...commands.map(({ name }) => name), '--help', '--version'].join(' '))}
  else case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _${identifier(program)} ${program}
`;
}

function zshScript(program: string, commands: readonly CompletedCommand[]): string {
  const described = commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`);
  const cases = commands.map(({ name, words, options }) => {
    const specs = options.flatMap(({ flags, description, takesValue, values }) => {
      const what = `[${description.replace(/[[\]\\:]/g, '\\$&')}]`;
      const argument = !takesValue
        ? ''
        : values.length > 0
          ? `:value:(${values.join(' ')})`
          : ':value:_files';
      return flags.map((flag) => quoted(`*${flag}${what}${argument}`));
    });
    const first = words.length > 0 ? [quoted(`1:word:(${words.join(' ')})`)] : [];
    const rest = quoted('*:file:_files');
    return `    ${name}) _arguments ${[...specs, ...first, rest].join(' ')} ;;`;
  });
  return `#compdef ${program}
_${identifier(program)}() {
  local -a commands
  commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  shift words; (( CURRENT-- ))
  case "$words[1]" in
${cases.join('\n')}
  esac
}
compdef _${identifier(program)} ${program}
`;
}

function fishScript(program: string, commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, description, words, options }) => {
    const within = `complete -c ${program} -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c ${program} -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
      ...(words.length > 0 ? [`${within} -f -a ${quoted(words.join(' '))}`] : []),
      ...options.map(({ flags, description: meaning, takesValue, values }) =>
        [
          within,
          ...flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)),
          ...(takesValue ? ['-r'] : []),
          ...(values.length > 0 ? [`-f -a ${quoted(values.join(' '))}`] : []),
          `-d ${quoted(meaning)}`,
        ].join(' '),
      ),
    ];
  });
  return `# fish completion of ${program}\n${lines.join('\n')}\n`;
}

function flagsOf(options: readonly CompletedOption[]): readonly string[] {
  return options.flatMap(({ flags }) => flags);
}

/** As one word, for each of the shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function identifier(program: string): string {
  return program.replace(/\W/g, '_');
}
