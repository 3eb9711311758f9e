/**
 * PostgreSQL's raw parse tree as libpg-query gives it: every node is an object with one key, its kind. We read it loosely: what is absent
 * has its default value (false, 0, empty), as in protobuf.
 */

// The tree has some 260 kinds of nodes; the planner reads a few fields of forty of them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Ast = Record<string, any>

/** Kind and body of a wrapped node. */
export function kindOf(node: Ast): string {
  return Object.keys(node)[0] ?? ''
}

/** The strings of a list of String nodes: a qualified name. */
export function namesOf(list: readonly Ast[] | undefined): string[] {
  return (list ?? []).map((item) => (item.String?.sval ?? '') as string)
}

/** Calls `visit` for every object below `node`, parents first; stops descending where it returns false. `key` is the kind or the field. */
export function walk(node: unknown, visit: (body: Ast, key: string) => boolean | undefined, key = ''): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, visit, key)
    return
  }
  if (node === null || typeof node !== 'object') return
  if (visit(node as Ast, key) === false) return
  for (const child in node) walk((node as Ast)[child], visit, child)
}
