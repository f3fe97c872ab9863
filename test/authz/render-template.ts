/**
 * Renders the part of Helm's language that the property tests write: if, else and end on named conditions, string
 * literals, comments and assignments, and what `{{-` and `-}}` do to the white space beside them.
 * undefined where Helm would refuse the template.
 */
export function renderTemplate(
  template: string,
  conditions: Readonly<Record<string, boolean>>,
): string | undefined {
  const pieces = template.split(/(\{\{.*?\}\})/s);
  let out = '';
  const stack: { emits: boolean; taken: boolean; elseSeen: boolean }[] = [];
  const emits = () => stack.every((level) => level.emits);
  for (const [index, piece] of pieces.entries()) {
    if (index % 2 === 0) {
      let text = piece;
      if (pieces[index - 1]?.endsWith('-}}')) text = text.replace(/^[ \t\r\n]+/, '');
      if (pieces[index + 1]?.startsWith('{{-')) text = text.replace(/[ \t\r\n]+$/, '');
      if (text.includes('{{')) return undefined;
      if (emits()) out += text;
      continue;
    }
    const body = piece.replace(/^\{\{-?\s*|\s*-?\}\}$/g, '');
    const condition = /^if \.(\w+)$/.exec(body)?.[1];
    const level = stack.at(-1);
    if (condition !== undefined) {
      stack.push({
        emits: conditions[condition] ?? false,
        taken: conditions[condition] ?? false,
        elseSeen: false,
      });
    } else if (body === 'else') {
      if (!level || level.elseSeen) return undefined;
      Object.assign(level, { emits: !level.taken, elseSeen: true });
    } else if (body === 'end') {
      if (!stack.pop()) return undefined;
    } else if (body.startsWith('{')) {
      return undefined;
    } else if (body.startsWith('"')) {
      if (emits()) out += JSON.parse(body) as string;
    } else if (!body.startsWith('/*') && !body.startsWith('$x :=')) {
      throw new Error(`the renderer does not know ${piece}`);
    }
  }
  return stack.length === 0 ? out : undefined;
}
