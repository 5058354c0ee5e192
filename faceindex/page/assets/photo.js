// A photo with a box for each face, on top of a view.

class PhotoViewer {
  /** @param app */
  constructor(app) { this.app = app; }
  /** Show the photo of a route (`photo` or `face`, ids), or close it if there is none. */
  show(route) {}
  /** Faces or people have changed. */
  changed(changes) {}
}
