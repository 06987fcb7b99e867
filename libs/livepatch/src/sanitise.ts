// Text from a host is made inert where it enters, so that no terminal, log or page has to remember it.

/** Longest piece of host text that is kept, in characters: a kernel log line is at most about 1000. */
export const hostTextMax = 1024

// Whole escape sequences go, not only their first byte, or their rest would stand in the text:
// OSC, DCS, SOS, PM and APC up to their end, then CSI, then the two- and three-byte forms.
const escapeSequences = new RegExp(
  '(?:\\u001b[\\]PX^_]|[\\u0090\\u0098\\u009d-\\u009f])[^\\u0007\\u001b\\u009c]*(?:\\u0007|\\u001b\\\\|\\u009c)?'
  + '|(?:\\u001b\\[|\\u009b)[0-?]*[ -/]*[@-~]?'
  + '|\\u001b[ -/]*[0-~]?',
  'gu',
)
// C0 and DEL, C1; direction marks and overrides; zero-width, joiners and BOM; line and paragraph separators;
// interlinear and tag characters.
const controls = /[\u0000-\u001f\u007f-\u009f]/gu
const invisible = /[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

/**
 * Host text without anything that could steer a terminal or reorder a line; white space becomes one space each.
 * Longer than `max` characters is cut and ends in an ellipsis. Applying it twice changes nothing.
 */
export function sanitise(text: string, max: number = hostTextMax): string {
  // Cut once before the patterns run, generously, so that their cost is bounded by `max` and not by the host.
  const bounded = text.length > max * 4 ? text.slice(0, max * 4) : text
  const inert = bounded.toWellFormed()
    .replace(/[\t\n\r\v\f]/gu, ' ')
    .replace(escapeSequences, '')
    .replace(controls, '')
    .replace(invisible, '')
  return inert.length > max || bounded.length < text.length ? `${inert.slice(0, max - 1).toWellFormed().replace(/\ufffd$/u, '')}…` : inert
}
