/** Well-formed markup from values: everything that comes in as text is escaped. Pure. */

/** Markup that is written already. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Content = Markup | string | number | readonly Content[]
export type Attributes = Readonly<Record<string, string | number>>

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

// Control characters are not allowed in markup at all, not even escaped.
// eslint-disable-next-line no-control-regex
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g

export function escapeText(text: string): string {
  return text.replace(forbidden, '\ufffd').replace(/[&<>"]/g, (one) => escapes[one] ?? one)
}

/** An element. */
export function tag(name: string, attributes: Attributes = {}, ...contents: readonly Content[]): Markup {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escapeText(typeof value === 'number' ? plain(value) : value)}"`)
    .join('')
  const inner = contents.map(markup).join('')
  return new Markup(
    inner === '' && isVoid(name) ? `<${name}${written}/>` : `<${name}${written}>${inner}</${name}>`,
  )
}

function markup(content: Content): string {
  if (content instanceof Markup) return content.text
  if (typeof content === 'string') return escapeText(content)
  return typeof content === 'number' ? plain(content) : content.map(markup).join('')
}

function isVoid(name: string): boolean {
  return ['meta', 'br', 'rect', 'line', 'polyline', 'circle'].includes(name)
}

function plain(value: number): string {
  return String(Math.round(value * 100) / 100)
}

/** Data for programs, which browsers do not show. */
export function jsonScript(id: string, value: unknown): Markup {
  const text = JSON.stringify(value).replace(/[<>&]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`)
  return new Markup(`<script type="application/json" id="${escapeText(id)}">${text}</script>`)
}
