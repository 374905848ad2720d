// Owns the icons: one stroked path each, in a 24 by 24 box.

export const icons = {
  alert: 'M12 3.5 21.5 20h-19zM12 10v4.5M12 17.2v.1',
  check: 'M4.5 12.5l5 5 10-11',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.5V12l3 2',
  close: 'M6 6l12 12M18 6L6 18',
  cross: 'M7 7l10 10M17 7L7 17',
  dice: 'M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4.5 20h15',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  globe:
    'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3.6 6 3.6 9s-.6 6-3.6 9c-3-3-3.6-6-3.6-9S9 6 12 3z',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 16M15.5 9h.01',
  left: 'M15 5l-7 7 7 7',
  play: 'M8 5.5v13l10.5-6.5z',
  question:
    'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.4 9.6a2.7 2.7 0 1 1 3.9 2.4c-.9.4-1.3.9-1.3 1.7M12 16.8v.1',
  redo: 'M4.5 12a7.5 7.5 0 1 1 2.4 5.5M4.5 12V7M4.5 12h5',
  right: 'M9 5l7 7-7 7',
  stop: 'M7 7h10v10H7z',
  upload: 'M12 16V5M7.5 9L12 4.5 16.5 9M4.5 20h15',
};
