/** The rows of a live view are replaced by others. `rows` are lists of values in SQL. */
export function refill(table: string, rows: readonly string[]): string[] {
  const values = rows.map((row) => `(${row})`).join(',')
  return [
    `DELETE FROM pg_catalog.${table}`,
    ...(rows.length === 0 ? [] : [`INSERT INTO pg_catalog.${table} VALUES ${values}`]),
  ]
}
