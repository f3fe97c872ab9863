import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { DockerfileParser, type Instruction, ModifiableInstruction } from 'dockerfile-ast';

export const ROOT = resolve(__dirname, '../..');
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
