/** A page around a report that measures it in a browser: a frame of each width, and what is found in them written down as JSON. */
import { escapeText } from '../../src/chaos/report/html.ts'

/** What is found out about the report in one frame. */
export interface Measured {
  readonly dark: boolean
  readonly pageWidth: number
  readonly timeline: { readonly width: number; readonly height: number }
  /** Number of each kind of thing in the picture that has a size. */
  readonly drawn: Readonly<Record<string, number>>
  readonly texts: readonly {
    readonly text: string
    /** Height of its letters on the screen. */
    readonly px: number
    /** It goes beyond the picture. */
    readonly cut: boolean
    /** With the ground, as the accessibility guidelines of the web count it. */
    readonly contrast: number
  }[]
  readonly tables: number
}

/** For the browser, which takes no TypeScript. */
const script = String.raw`
const errors = []
addEventListener('error', (event) => errors.push(event.message))
const channels = (color) => (color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number)
function luminance(color) {
  const [r, g, b] = channels(color).map((one) => {
    const part = one / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (high + 0.05) / (low + 0.05)
}
function measure(frame) {
  const [doc, view] = [frame.contentDocument, frame.contentWindow]
  const svg = doc.querySelector('.timeline')
  const box = svg.getBoundingClientRect()
  const ground = view.getComputedStyle(doc.body).backgroundColor
  const sized = (name) =>
    [...svg.querySelectorAll(name)].filter((one) => {
      const { width, height } = one.getBoundingClientRect()
      return width > 0 || height > 0
    }).length
  const kinds = ['.fault', '.heal', '.up', '.down', '.line0', '.line1', '.tick', '.anomaly']
  return {
    dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    pageWidth: doc.documentElement.scrollWidth,
    timeline: { width: box.width, height: box.height },
    drawn: Object.fromEntries(kinds.map((name) => [name, sized(name)])),
    texts: [...svg.querySelectorAll('text')].map((one) => {
      const at = one.getBoundingClientRect()
      const style = view.getComputedStyle(one)
      return {
        text: one.textContent,
        px: (Number.parseFloat(style.fontSize) * box.width) / svg.viewBox.baseVal.width,
        cut: at.left < box.left || at.right > box.right + 1,
        contrast: contrast(style.fill, ground),
      }
    }),
    tables: [...doc.querySelectorAll('table')].filter((one) => one.getBoundingClientRect().height > 0).length,
  }
}
addEventListener('load', () => {
  const frames = [...document.querySelectorAll('iframe')].map(measure)
  document.getElementById('measured').textContent = JSON.stringify({ errors, frames })
})
`

/** The page. */
export function pageAround(report: string, widths: readonly number[]): string {
  const frames = widths.map(
    (width) =>
      `<iframe style="border:0;width:${width}px;height:2000px" srcdoc="${escapeText(report)}"></iframe>`,
  )
  return `<!DOCTYPE html><meta charset="utf-8"><script>${script}</script><body>${frames.join('')}<pre id="measured"></pre></body>`
}

/** What the page has written down, from its text when it was loaded. */
export function measuredIn(dom: string): { readonly errors: string[]; readonly frames: Measured[] } {
  const written = /<pre id="measured">(.*?)<\/pre>/s.exec(dom)?.[1] ?? ''
  const json = written.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  return JSON.parse(json) as { errors: string[]; frames: Measured[] }
}
