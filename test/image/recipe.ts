import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { DockerfileParser, type Instruction, ModifiableInstruction } from 'dockerfile-ast';

/** The project's folder, from which npm runs tests and scripts, also what is compiled to elsewhere. */
export const ROOT = process.cwd();
export const RECIPE = readFileSync(resolve(ROOT, 'Dockerfile'), 'utf8');

export interface Step {
  readonly keyword: string;
  /** The arguments, without flags, on one line. */
  readonly text: string;
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
}

/** The instructions of each stage, `FROM` first; those in front of the first `FROM` are stage 0. */
export function stagesOf(recipe = RECIPE): readonly (readonly Step[])[] {
  const stages: Step[][] = [[]];
  for (const instruction of DockerfileParser.parse(recipe).getInstructions()) {
    const step = stepOf(instruction);
    if (step.keyword === 'FROM') stages.push([]);
    stages.at(-1)?.push(step);
  }
  return stages;
}

/** The flags of Node with which the image starts the service. */
export const NODE_FLAGS: readonly string[] = (
  JSON.parse(
    stagesOf()
      .at(-1)
      ?.find(({ keyword }) => keyword === 'ENTRYPOINT')?.text ?? '[]',
  ) as string[]
).filter((word) => word.startsWith('--'));

/** Those of them that harden a process; the others are about the memory of a server. */
export const HARDENING_FLAGS = NODE_FLAGS.filter((flag) => flag.startsWith('--dis'));

/** Those of them that the Node of this machine has. */
export const KNOWN_NODE_FLAGS = NODE_FLAGS.filter((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag.replace(/=.*/, '')),
);

function stepOf(instruction: Instruction): Step {
  const text = (instruction.getRawArgumentsContent() ?? '').replace(/\\\n\s*/g, ' ');
  const flags = instruction instanceof ModifiableInstruction ? instruction.getFlags() : [];
  return {
    keyword: instruction.getKeyword(),
    text,
    words: text.split(/\s+/),
    flags: Object.fromEntries(flags.map((flag) => [flag.getName(), flag.getValue() ?? ''])),
  };
}
