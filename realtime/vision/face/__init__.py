"""Finding a face and following it: landmarks, regions, head pose, registration, the faces of the last seconds."""
