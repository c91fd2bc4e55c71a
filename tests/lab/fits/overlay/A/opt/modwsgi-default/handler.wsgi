from fits_storage.standin.web import application
