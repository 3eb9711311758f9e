// Is this markup well-formed? Every element closed in order, attributes quoted, no bare `<` or `&`. Enough of XML to be sure that a browser and an XML parser agree.

const token =
  /<!DOCTYPE html>|<(\/?)([A-Za-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|&(?:amp|lt|gt|quot|#\d+);|[^<&]/gy

/** The names of all elements, in the order in which they open. Throws with the place of what is wrong. */
export function elementsOf(text: string): string[] {
  const opened: string[] = []
  const open: string[] = []
  token.lastIndex = 0
  while (token.lastIndex < text.length) {
    const at = token.lastIndex
    const found = token.exec(text)
    if (found === null) throw new Error(`not well-formed at ${at}: ${text.slice(at, at + 60)}`)
    const [, isEnd, name, , isEmpty] = found
    if (name === undefined) continue
    if (isEnd === '/') {
      const last = open.pop()
      if (last !== name) throw new Error(`</${name}> at ${at} closes <${last ?? 'nothing'}>`)
      continue
    }
    opened.push(name)
    if (isEmpty !== '/') open.push(name)
  }
  if (open.length > 0) throw new Error(`<${open.join('> <')}> is not closed`)
  return opened
}
