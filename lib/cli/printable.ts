/** Control characters that a terminal may obey, but for the end of a line. */
const control = /[\x00-\x09\x0b-\x1f\x7f-\x9f]/g; // eslint-disable-line no-control-regex

/** A text for a person's terminal: a control character in it, from the name of a file for example, becomes what it is called (`\x1b`). */
export function printable(text: string): string {
  return text.replace(control, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
