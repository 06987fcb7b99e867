/** The outer shape of an iCalendar file: lines, folding and nesting (RFC 5545 sections 3.1 and 3.4), with line numbers. */

/** Bounds on one file. Beyond them the file is refused, never cut. */
export const CALENDAR_LIMITS = {
  bytes: 1024 * 1024,
  events: 5_000,
  /** Events with an RRULE: each costs an expansion whenever the calendar is asked. */
  recurring: 500,
  /** Those among them with a COUNT: each is counted once, on import. */
  counted: 50,
  /** All RDATE and EXDATE values together. */
  dates: 10_000,
  zones: 50,
  depth: 8,
  days: 366,
  /** Characters kept of a UID or a SUMMARY. */
  text: 200,
} as const;

/** A calendar that is refused: the line, and a sentence that says what is wrong and what to do about it. */
export class CalendarError extends Error {
  override readonly name = 'CalendarError';
  readonly line: number;
  readonly says: string;
  constructor(line: number, says: string) {
    super(`line ${line}: ${says}`);
    this.line = line;
    this.says = says;
  }
}

/** One unfolded content line; `number` is where it begins in the file, `name` is upper case. */
export interface Line { readonly number: number; readonly name: string; readonly text: string }

/** One component, from BEGIN to END. */
export interface Block { readonly name: string; readonly number: number; readonly lines: Line[]; readonly blocks: Block[] }

/** All VCALENDAR components of the file. Throws CalendarError. */
export function readBlocks(text: string): Block[] {
  // A string has at most three bytes per UTF-16 unit, so the cheap comparison refuses nothing that fits.
  if (text.length > CALENDAR_LIMITS.bytes || Buffer.byteLength(text) > CALENDAR_LIMITS.bytes) {
    throw new CalendarError(1, 'The file is larger than 1 MiB. Export a shorter time span, or only the calendar with the blackouts.');
  }
  const root: Block = { name: '', number: 1, lines: [], blocks: [] };
  const open: Block[] = [root];
  let last = 1;
  for (const line of unfold(text)) {
    last = line.number;
    place(line, open);
  }
  const unclosed = open.at(-1)!;
  if (unclosed !== root) {
    throw new CalendarError(last, `The file ends inside the ${unclosed.name} that begins on line ${unclosed.number}: it is cut off. Export it again.`);
  }
  if (root.blocks.length === 0) {
    throw new CalendarError(1, 'The file has no BEGIN:VCALENDAR, so it is no iCalendar file. Export the calendar as .ics.');
  }
  return root.blocks;
}

function place(line: Line, open: Block[]): void {
  const current = open.at(-1)!;
  const value = line.text.slice(line.name.length + 1).trim().toUpperCase();
  if (line.name === 'BEGIN') {
    if (open.length > CALENDAR_LIMITS.depth) {
      throw new CalendarError(line.number, `Components are nested more than ${CALENDAR_LIMITS.depth} deep. Export the calendar again.`);
    }
    if (open.length === 1 && value !== 'VCALENDAR') {
      throw new CalendarError(line.number, `${quote(value)} stands outside BEGIN:VCALENDAR. Export the calendar as a whole.`);
    }
    const block: Block = { name: value, number: line.number, lines: [], blocks: [] };
    current.blocks.push(block);
    open.push(block);
  } else if (line.name === 'END') {
    if (open.length === 1 || current.name !== value) {
      const expected = open.length === 1 ? 'nothing is open' : `the ${current.name} of line ${current.number} is open`;
      throw new CalendarError(line.number, `END:${quote(value)} does not fit: ${expected}. The file is damaged; export it again.`);
    }
    open.pop();
  } else if (open.length === 1) {
    throw new CalendarError(line.number, `${line.name} stands outside BEGIN:VCALENDAR, so this is no iCalendar file. Export the calendar as .ics.`);
  } else current.lines.push(line);
}

/** RFC 5545 section 3.1: a line that begins with a blank continues the one before. */
function* unfold(text: string): Generator<Line> {
  let pieces: string[] = [];
  let begun = 1;
  for (const [index, raw] of `${text.replace(/^\uFEFF/, '')}\n`.split(/\r\n|\n|\r/).entries()) {
    if (/^[ \t]/.test(raw) && pieces.length > 0) {
      pieces.push(raw.slice(1));
      continue;
    }
    if (pieces.length > 0) yield contentLine(begun, pieces.join(''));
    pieces = raw.trim() === '' ? [] : [raw];
    begun = index + 1;
  }
}

function contentLine(number: number, text: string): Line {
  const name = /^[A-Za-z0-9-]{1,100}(?=[;:])/.exec(text)?.[0];
  if (name === undefined) {
    throw new CalendarError(number, `${quote(text)} is not of the form NAME:VALUE. The file is damaged here; export it again.`);
  }
  return { number, name: name.toUpperCase(), text };
}

/** Foreign text for a sentence or a database column: short, without control characters or half characters. */
export function quote(text: string, atMost = 40): string {
  return text.replace(/[\u0000-\u001F\u007F]/g, ' ').slice(0, atMost).toWellFormed().trim();
}
