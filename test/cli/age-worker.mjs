// Makes and opens archives with the built module, as JSON on standard input asks for, and prints what came of each as JSON. jest would
// compile the whole of age-encryption, which is published as ES modules, and takes half a minute for that.
import { Buffer } from 'node:buffer';
import { text } from 'node:stream/consumers';
import { decryptArchive, encryptArchive, readArchive } from '../../dist/cli/files/age-archive.js';
import { failureOf } from '../../dist/cli/console.js';

async function outcomeOf({ encrypt, decrypt, readers, keys, armored = false }) {
  try {
    if (encrypt !== undefined)
      return { archive: (await encryptArchive(encrypt, readers, armored)).toString('base64') };
    const { archive, needsPassphrase } = await readArchive(Buffer.from(decrypt, 'base64'));
    return { needsPassphrase, ...(keys !== undefined && { text: await decryptArchive(archive, keys) }) };
  } catch (error) {
    return failureOf(error);
  }
}

const outcomes = [];
for (const asked of JSON.parse(await text(process.stdin))) outcomes.push(await outcomeOf(asked));
console.log(JSON.stringify(outcomes));
