/** Every fault point stands in the file that its catalogue names. */
import t from 'tap'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { faultPointCatalog } from '@mirabelle/messages'

const root = fileURLToPath(new URL('..', import.meta.url))

t.test('every fault point stands in the file that the catalogue names', (t) => {
  const points = Object.values(faultPointCatalog).flatMap(({ points }) =>
    Object.entries(points as Record<string, { readonly file: string }>),
  )
  const missing = points.filter(
    ([name, { file }]) => !standsIn(name, readFileSync(`${root}packages/${file}`, 'utf8')),
  )
  t.same(missing, [])
  t.end()
})

/** As it is, or built from a part that varies: `state.${key}.before`. */
function standsIn(name: string, text: string): boolean {
  if (text.includes(`'${name}'`)) return true
  const parts = name.split('.')
  return parts.some((_, i) => {
    const pattern = parts.map((part, j) => (j === i ? '\\$\\{\\w+\\}' : part)).join('\\.')
    return new RegExp(`\`${pattern}\``).test(text)
  })
}
