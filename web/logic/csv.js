// Owns the reading of comma-separated values (RFC 4180): quotes, line breaks inside them, and a byte order mark.

const CELL = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\n|\r|$)/y;

/** The rows of a text as lists of cells; empty lines are left out. */
export function parseCsv(text) {
  const plain = text.replace(/^\uFEFF/, '');
  const rows = [];
  let row = [];
  CELL.lastIndex = 0;
  while (CELL.lastIndex < plain.length) {
    const match = CELL.exec(plain);
    if (!match) throw new Error('A quote is not closed.');
    row.push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
    if (match[3] === ',' && CELL.lastIndex < plain.length) continue;
    if (match[3] === ',') row.push('');
    if (row.some((cell) => cell.trim())) rows.push(row);
    row = [];
  }
  return rows;
}
