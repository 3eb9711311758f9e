/** The shapes that all reports share: rulers, `name = value` lines, columns, and the mark of what is not as it should be. */
import Table from 'cli-table3'

export const RULER = '-'.repeat(53)
/** Greenplum's mark of a line that needs attention. */
const MARK = '<<<<<<<<'

/** `   name      = value`, marked when `bad`. */
export function entry(
  name: string,
  value: string | number,
  options: { bad?: boolean; indent?: number; width?: number } = {},
): string {
  const { bad = false, indent = 3, width = 58 } = options
  const line = `${' '.repeat(indent)}${name.padEnd(width - indent + 3)}= ${value}`
  return bad ? `${line.padEnd(width + 24)}   ${MARK}` : line
}

/** Columns as wide as they need to be, three blanks apart. A row is marked when `bad` says so. */
export function columns(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  bad: (row: number) => boolean = () => false,
): string[] {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '   ',
  }
  const table = new Table({
    head: [...head],
    chars: none,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  for (const row of rows) table.push([...row])
  const lines = table.toString().split('\n')
  return lines.map((line, i) => `   ${i > 0 && bad(i - 1) ? `${line}   ${MARK}` : line.trimEnd()}`)
}

/** A report and what the command exits with. */
export interface Report {
  readonly lines: readonly string[]
  readonly exitStatus: 0 | 1 | 2
}
